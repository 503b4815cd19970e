"""Clipped gradients: each row as its definition says, in its own direction, and never longer."""

import pytest
import torch
from toys import classifier, generator

from laconic.errors import PlanError
from laconic.models.params import params_of
from laconic.training.clipping import clip_rows
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization


def slowly(weight: torch.Tensor, gradient: torch.Tensor, share: float) -> torch.Tensor:
    """Equation 3, row by row."""
    new = gradient.clone()
    rows = range(len(weight)) if weight.ndim > 1 else [...]
    for row in rows:
        most = share * max(float(weight[row].square().sum() ** 0.5), 1e-3)
        length = float(gradient[row].square().sum() ** 0.5)
        if length > most:
            new[row] *= most / length
    return new


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (4, 3, 2, 2), (0, 3)])
@pytest.mark.parametrize("share", [0.01, 0.5, 100.0])
def test_rows_are_clipped_by_their_definition(shape, share):
    weight, gradient = (torch.randn(shape, generator=generator(seed), dtype=torch.float64) for seed in (0, 1))
    if len(shape) > 1 and shape[0]:
        weight[0], gradient[1] = 0, 0
    weight.requires_grad_().grad = gradient.clone()
    clip_rows([weight, torch.zeros(3)], share)
    torch.testing.assert_close(weight.grad, slowly(weight.detach(), gradient, share))


def test_a_share_that_is_never_reached_changes_no_bit_and_a_small_one_holds_the_weights():
    task = classifier(samples=100)
    params = params_of(task.module)
    plain, loose, tight = (minimise(task, params, Optimization(1, 0.1, clip=clip), 0)[0] for clip in (None, 1e9, 1e-6))
    assert all(torch.equal(plain[name], loose[name]) for name in plain)
    moved = [float((own["0.weight"] - params["0.weight"]).norm()) for own in (plain, tight)]
    assert moved[1] < 1e-3 * moved[0]
    with pytest.raises(PlanError, match="clip is a share"):
        Optimization(clip=0.0)
