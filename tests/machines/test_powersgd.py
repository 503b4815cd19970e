"""PowerSGD as one worker that stands for all: against N of them, each with an error of its own."""

import pytest
import torch

from laconic.errors import PlanError
from laconic.machines.powersgd import PowerSGD


def gradients(steps, workers, shape=(12, 20)):
    draw = torch.Generator().manual_seed(3)
    return torch.randn(steps, workers, *shape, generator=draw, dtype=torch.float64)


def played(each, rank, first):
    """Algorithm 1 and 2 as they are printed, with an all-reduced mean wherever the paper has one."""
    workers, (rows, columns) = each.shape[1], each.shape[2:]
    errors, right, sent = [torch.zeros(rows, columns).double() for _ in range(workers)], first, []
    for step in each:
        wanted = [gradient + error for gradient, error in zip(step, errors, strict=True)]
        left = torch.linalg.qr(sum(one @ right for one in wanted) / workers)[0]
        right = sum(one.T @ left for one in wanted) / workers
        product = left @ right.T
        errors = [one - product for one in wanted]
        sent.append(product)
    return sent


@pytest.mark.parametrize("workers", [1, 3])
def test_one_that_has_the_mean_takes_the_steps_of_all(workers):
    each = gradients(5, workers)
    alone = PowerSGD(2, seed=4)
    first = torch.randn(20, 2, generator=torch.Generator().manual_seed(4)).double()
    for step, twin in zip(each, played(each, 2, first), strict=True):
        assert torch.allclose(alone.sent("w", step.mean(0)), twin, atol=1e-12)


def test_what_was_sent_and_what_is_kept_add_up_to_all_gradients():
    power, each = PowerSGD(2), gradients(6, 1)[:, 0]
    sent = sum(power.sent("w", step) for step in each)
    error, _ = power._held["w"]
    assert torch.allclose(sent + error, each.sum(0), atol=1e-12)
    assert float(error.norm()) > 0.1


def test_a_gradient_of_low_rank_is_sent_whole_and_vectors_as_they_are():
    power, draw = PowerSGD(2), gradients(2, 1)[:, 0]
    low = draw[0][:, :2] @ draw[1][:2]
    assert torch.allclose(power.sent("w", low.view(12, 4, 5)), low.view(12, 4, 5), atol=1e-10)
    assert power.message == 4 * 2 * (12 + 20)
    for name, shape in (("bias", (7,)), ("scale", ()), ("small", (2, 3)), ("empty", (0, 4))):
        vector = torch.ones(shape)
        assert power.sent(name, vector) is vector
    with pytest.raises(PlanError, match="1 or more"):
        PowerSGD(0)
