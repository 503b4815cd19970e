"""Scratch-E and Scratch-B: a network of the widths that pruning has found, trained from fresh weights."""

import pytest
import torch
from torch import nn

import laconic
from laconic.deploy.edits import Edits
from laconic.errors import PlanError
from laconic.models.params import params_of
from laconic.scratch.drawing import drawn
from laconic.scratch.narrow import from_scratch
from laconic.training.optimization import Optimization
from laconic.training.task import Task
from laconic.training.trainer import start_training, train

HOW = Optimization(3, 0.05)


def test_narrow_networks_are_trained_as_long_or_at_the_cost_of_the_wide_one():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, 6, generator=draw)
    batches = [(part, part.sum(1, keepdim=True)) for part in x]
    task = Task(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 1)), batches, nn.MSELoss(), validation=batches)
    before = {name: tensor.clone() for name, tensor in params_of(task.module).items()}
    plan = laconic.Plan({"0.weight": laconic.KeepGroups(laconic.Groups("neurons"), keep=1 / 3)})
    small = laconic.compress(task.module, plan, effort="direct").shrink(task.module, x[0])
    ran = {spend: from_scratch(task, small, HOW, spend, seed=1) for spend in ("epochs", "multiply-adds")}
    assert {spend: (one.epochs, one.ratio) for spend, one in ran.items()} == {
        "epochs": (3, 3.0), "multiply-adds": (9, 3.0),
    }  # fmt: skip
    assert all(torch.equal(before[name], tensor) for name, tensor in params_of(task.module).items())
    thin = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    own = Task(thin, batches, nn.MSELoss(), validation=batches)
    *_, expected = train(own, start_training(drawn(thin, 1)), HOW, 1)
    assert all(torch.equal(ran["epochs"].weights[name], tensor) for name, tensor in expected.weights.items())
    with pytest.raises(PlanError, match="as wide as before"):
        from_scratch(task, Edits(), HOW)
    with pytest.raises(PlanError, match="Scratch-E"):
        from_scratch(task, small, HOW, "time")
