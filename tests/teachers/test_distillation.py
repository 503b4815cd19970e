"""A loss that asks a network to say what another one says."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from laconic import Training
from laconic.errors import DataError, PlanError
from laconic.models.params import params_of
from laconic.teachers.distillation import alike
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


def task(kind: str) -> Task:
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(256, 6, generator=g)
    labels = torch.randint(0, 3, (256,), generator=g) if kind == "classification" else torch.randn(256, 3, generator=g)
    batches = [(inputs[at : at + 64], labels[at : at + 64]) for at in range(0, 256, 64)]
    loss = nn.CrossEntropyLoss() if kind == "classification" else nn.MSELoss()
    return Task(network(), train=batches, validation=batches, loss=loss)


def by_torch(outputs: torch.Tensor, wanted: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "regression":
        return F.mse_loss(outputs, wanted)
    return F.kl_div(outputs.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_loss_is_the_tasks_and_the_divergence_from_the_reference(kind, share):
    of, reference = task(kind), params_of(network())
    before = {name: tensor.clone() for name, tensor in reference.items()}
    other = {name: tensor + 0.1 for name, tensor in reference.items() if tensor.is_floating_point()}
    batch = next(of.batches("train", 0))
    of.module.train()
    moved = {name: other.get(name, tensor).clone() for name, tensor in reference.items()}
    outputs = of.outputs(moved, batch)
    of.module.eval()
    wanted = of.outputs(reference, batch)
    of.module.train()
    said = alike(of, reference, share).loss(outputs, batch)
    torch.testing.assert_close(said, (1 - share) * of.loss(outputs, batch) + share * by_torch(outputs, wanted, kind))
    assert of.module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in reference.items()), "running statistics, too"


def test_a_network_becomes_like_the_reference_whatever_the_targets_say():
    of, reference = task("classification"), params_of(network())
    start = {name: t + 0.3 * torch.randn_like(t) if t.ndim == 2 else t.clone() for name, t in reference.items()}
    trained, _ = minimise(alike(of, reference, 1.0), start, Optimization(40, 1e-2, optimizer=adam), seed=0)

    def apart(params):
        of.module.eval()
        batches = list(of.batches("train", 0))
        return float(sum(by_torch(of.outputs(params, b), of.outputs(reference, b), "classification") for b in batches))

    assert apart(trained) < 0.3 * apart(start)


def test_no_share_is_the_task_itself_and_what_cannot_be_is_refused():
    of = task("classification")
    assert alike(of, {}, 0.0) is of
    unknown = Task(
        network(), train=[(torch.randn(4, 6), torch.zeros(4))], loss=lambda outputs, _: outputs.square().mean()
    )
    with pytest.raises(DataError, match="kind"):
        alike(unknown, params_of(network()), 0.5)
    with pytest.raises(PlanError, match="alike is a share"):
        Training(alike=1.5)
