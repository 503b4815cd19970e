"""Inputs that a teacher makes up: they meet the statistics that its training data met."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from laconic.errors import DataError, PlanError
from laconic.models.params import params_of
from laconic.teachers.synthetic import Making, made_up, of_norms, recorded
from laconic.training.task import Task


def normed() -> nn.Module:
    """A network whose norms have met data that are not those of a standard normal input."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4),
        nn.Flatten(), nn.Linear(4 * 16, 3),
    )  # fmt: skip
    net.train()
    for _ in range(60):
        net(0.5 + 2 * torch.randn(32, 2, 6, 6))
    return net


def plain() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3))


def test_what_norms_read_of_made_up_inputs_has_their_mean_and_deviation_within_the_tolerance():
    net = normed()
    params, how = params_of(net), Making(batch=48, steps=90, price=0.05, tolerance=0.01)
    made = made_up(net, params, of_norms(net, params), (2, 6, 6), 60, how, seed=3)
    assert net.training
    assert not any(part._forward_hooks for part in net.modules())
    assert made.inputs.shape == (60, 2, 6, 6)
    assert len(made.apart) == 2
    assert max(made.apart) <= how.tolerance
    net.eval()
    read = net[0](made.inputs[:30]).detach()
    for norm, values in ((net[1], read), (net[4], net[3](torch.relu(net[1](read))).detach())):
        channels = values.movedim(1, 0).flatten(1)
        spread = norm.running_var.sqrt()
        far = (channels.mean(1) - norm.running_mean) ** 2 + (channels.std(1, correction=0) - spread) ** 2
        assert (far / spread**2).mean() <= 2 * how.tolerance
    again = made_up(net, params, of_norms(net, params), (2, 6, 6), 60, how, seed=3)
    assert torch.equal(made.inputs, again.inputs)
    assert torch.equal(made.labels, again.labels)


def test_statistics_of_a_layer_without_a_norm_are_recorded_and_met_within_bounds_and_labels_are_named():
    net = plain()
    data = torch.rand(300, 1, 4, 4)
    task = Task(net, [(part, torch.zeros(100, dtype=torch.int64)) for part in data.split(100)], nn.CrossEntropyLoss())
    (met,) = recorded(task, params_of(net), ["1"]).values()
    writes = net[1](data.flatten(1)).detach()
    seen = torch.cat([batch[0] for batch in task.batches("train", 0)])
    assert len(seen) == 300
    torch.testing.assert_close(met.mean, writes.mean(0))
    torch.testing.assert_close(met.deviation, writes.std(0, correction=0))
    how = Making(batch=80, steps=100, price=0.1, tolerance=0.05)
    made = made_up(net, params_of(net), {"1": met}, (1, 4, 4), 80, how, bounds=(0.0, 1.0))
    assert made.inputs.min() >= 0
    assert made.inputs.max() <= 1
    alone = made_up(net, params_of(net), {"1": met}, (1, 4, 4), 80, Making(80, 100, price=0, tolerance=0.05))
    assert torch.equal(made.labels, alone.labels)
    far = [F.cross_entropy(net(one.inputs), one.labels).detach() for one in (made, alone)]
    assert far[0] < far[1], "labels that have a price are nearer to being named"


def test_what_cannot_be_met_or_is_not_there_is_said():
    net, other = normed(), plain()
    params = params_of(net)
    with pytest.raises(DataError, match=r"after 1 steps .* not within"):
        made_up(net, params, of_norms(net, params), (2, 6, 6), 8, Making(8, 1))
    with pytest.raises(DataError, match="1 inputs to meet what 0 layers met"):
        made_up(net, params, {}, (2, 6, 6), 1)
    with pytest.raises(DataError, match="record those of some layers"):
        of_norms(other, params_of(other))
    task = Task(other, [(torch.ones(2, 1, 4, 4), torch.tensor([0, 1]))], nn.CrossEntropyLoss())
    with pytest.raises(DataError, match="no layer 'fc1'; near are 0, 1, 2, 3"):
        recorded(task, params_of(other), ["fc1"])
    for bad in ({"batch": 1}, {"steps": 0}, {"lr": 0.0}, {"price": -1.0}, {"tolerance": 0.0}):
        with pytest.raises(PlanError):
            Making(**bad)
