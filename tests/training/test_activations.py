"""The share of zeros behind a layer, against a count by hand."""

import pytest
import torch
from torch import nn
from toys import classifier, normal, seeded_module

from laconic import Groups, KeepGroups
from laconic.errors import DataError
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.training.activations import activity, share_of_zeros
from laconic.training.task import classification


def network():
    """A convolution with normalisation, and a linear layer over the channels of what is left."""
    layers = [nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)]
    nn.init.normal_(layers[1].bias)
    return nn.Sequential(*layers)


def maps():
    images, labels = normal(37, 2, 6, 6).float(), torch.zeros(37, dtype=torch.long)
    data = Dataset("x", {"train": (images, labels)}, classes=3)
    return classification(seeded_module(network), data, batch=10), images


def test_zeros_of_neurons_as_counted_by_hand():
    task = classifier()
    params = params_of(task.module)
    pixels = torch.cat([inputs for inputs, _ in task.batches("train", 0)])
    found = share_of_zeros(task, params, "train")
    assert list(found) == ["0", "4"]
    expected = (pixels @ params["0.weight"].T + params["0.bias"] <= 0).double().mean(0)
    assert found["0"].dtype == torch.float64
    assert torch.equal(found["0"], expected)


def test_zeros_of_maps_are_counted_at_every_place_behind_the_layer_that_is_named():
    task, images = maps()
    found = share_of_zeros(task, params_of(task.module), "train", ["1"])
    task.module.eval()
    with torch.no_grad():
        behind = task.module[1](task.module[0](images))
    assert torch.allclose(found["1"], (behind <= 0).double().mean((0, 2, 3)))
    assert not torch.allclose(share_of_zeros(task, params_of(task.module), "train", ["0"])["0"], found["1"])


def test_another_activation_has_other_zeros_and_the_network_keeps_its_mode_and_hooks():
    task = classifier()
    task.module.train()
    before = {name: tensor.clone() for name, tensor in params_of(task.module).items()}
    found = share_of_zeros(task, params_of(task.module), "train", ["0"], torch.tanh)
    assert found["0"].tolist() == [0.0] * 12
    assert task.module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in params_of(task.module).items())
    assert not any(module._forward_hooks for module in task.module.modules())


def test_silent_neurons_are_the_first_to_go():
    task = classifier()
    params = {name: tensor.clone() for name, tensor in params_of(task.module).items()}
    params["0.bias"][::2], params["0.bias"][1::2] = -100, 100
    share = share_of_zeros(task, params, "train", ["0"])["0"]
    assert share[::2].tolist() == [1.0] * 6
    rule = KeepGroups(Groups("neurons"), count=6, scores={"0.weight": 1 - share})
    code = rule.project({"0.weight": params["0.weight"]})["0.weight"]
    assert code.mask.array.tolist() == [0, 1] * 6


def test_what_cannot_be_counted_is_an_error():
    task = classifier()
    with pytest.raises(DataError, match="no layer 9"):
        share_of_zeros(task, params_of(task.module), "train", ["9"])
    task = classification(Skipping(), Dataset("x", {"train": (torch.ones(2, 4), torch.zeros(2).long())}, classes=3))
    with pytest.raises(DataError, match="spare: no outputs"):
        share_of_zeros(task, params_of(task.module), "train")


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, inputs):
        return self.used(inputs)


class Streams(nn.Module):
    """A convolution with a norm and pooling, read by a dense layer and by another convolution."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 2)
        self.dense, self.last = nn.Linear(4 * 4, 5), nn.Linear(3, 5)
        nn.init.normal_(self.norm.bias)

    def forward(self, images):
        maps = nn.functional.max_pool2d(self.norm(self.first(images)).relu(), 2)
        return self.dense(maps.flatten(1)) + self.last(self.second(maps).relu().mean((2, 3)))


def test_activity_is_counted_where_units_are_read():
    module, images = seeded_module(Streams), normal(40, 2, 6, 6).float()
    data = Dataset("x", {"train": (images, torch.zeros(40, dtype=torch.long))}, classes=5)
    task = classification(module, data, batch=16)
    axes = [("first.weight", 0), ("second.weight", 1), ("second.weight", 0), ("dense.weight", 0)]
    found = activity(task, params_of(module), axes)
    module.eval()
    with torch.no_grad():
        maps = nn.functional.max_pool2d(module.norm(module.first(images)).relu(), 2)
        means = module.second(maps).relu().mean((2, 3))
    shares = maps.ne(0).double()
    assert torch.allclose(found["second.weight", 1], shares.mean((0, 2, 3)))
    assert torch.allclose(found["first.weight", 0], shares.mean((0, 2, 3)))
    assert torch.allclose(found["second.weight", 0], means.ne(0).double().mean(0))
    assert found["dense.weight", 0].tolist() == [1.0] * 5, "outputs, which nobody reads"
    with pytest.raises(DataError, match=r"norm\.weight: no weight of a linear or convolutional layer"):
        activity(task, params_of(module), [("norm.weight", 0)])


def test_activity_looks_at_as_many_samples_as_it_is_told():
    task = classifier()
    params, seen = params_of(task.module), []
    handle = task.module.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    activity(task, params, [("4.weight", 1)], samples=60)
    handle.remove()
    assert seen == [50, 50, 2], "whole batches; then two samples, to see what the network is called with"
