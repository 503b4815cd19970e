"""The reference networks by name."""

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Generator, nn

from laconic.errors import DataError
from laconic.models.nets.frankle import Conv2, initialize_glorot
from laconic.models.nets.lenet import LeNet5, LeNet300, initialize_xavier
from laconic.models.nets.mlp import MLP256, initialize_uniform
from laconic.models.nets.plain import conv5, conv7
from laconic.models.nets.polino import POLINO
from laconic.models.nets.resnet import ResNet, initialize_kaiming
from laconic.models.nets.vgg import VGG16

Builder = Callable[[tuple[int, ...], int], nn.Module]


class Net(NamedTuple):
    """One row of the table.

    Args:
        builder: (shape of one input, number of classes) → the module, not yet initialized.
        preprocessing: by name, of `laconic.models.data`; what the published network was trained with.
        initialize: draws the weights from a generator.
        shape: of one input of the data set that the network was published with.
    """

    builder: Builder
    preprocessing: str
    initialize: Callable[[nn.Module, Generator], None]
    shape: tuple[int, ...]


_MNIST, _CIFAR = (1, 28, 28), (3, 32, 32)


def _resnet(layers: int) -> Net:
    """Return the row of the ResNet with ``layers`` = 6 · blocks + 2 layers."""
    blocks = (layers - 2) // 6
    return Net(lambda shape, classes: ResNet(shape, classes, blocks), "imagenet", initialize_kaiming, _CIFAR)


NETS: Mapping[str, Net] = MappingProxyType(
    {
        "lenet300": Net(
            lambda shape, classes: LeNet300(shape, classes, torch.relu),
            "pixels/255 standardized",
            initialize_xavier,
            _MNIST,
        ),
        "lenet300-tanh": Net(
            lambda shape, classes: LeNet300(shape, classes, torch.tanh),
            "pixels/255 - mean image",
            initialize_xavier,
            _MNIST,
        ),
        "lenet5": Net(LeNet5, "pixels/256", initialize_xavier, _MNIST),
        "mlp256": Net(MLP256, "pixels/255 standardized", initialize_uniform, _MNIST),
        "conv2": Net(Conv2, "imagenet", initialize_glorot, _CIFAR),
        "conv5-fc3": Net(conv5, "imagenet", initialize_uniform, _CIFAR),
        "conv7-fc1": Net(conv7, "imagenet", initialize_uniform, _CIFAR),
        "vgg16": Net(VGG16, "imagenet", initialize_kaiming, _CIFAR),
        **{name: Net(builder, "imagenet", initialize_xavier, _CIFAR) for name, builder in POLINO.items()},
        **{f"resnet{layers}": _resnet(layers) for layers in (20, 32, 44, 56, 110)},
    }
)
"""Name of a network → how it is made and what it was trained on."""


def net(name: str) -> Net:
    """Return the row of network ``name``.

    Raises:
        DataError: when there is none; it names the nearest one.
    """
    if name not in NETS:
        close = difflib.get_close_matches(name, NETS, 1)
        hint = f", did you mean {close[0]!r}?" if close else ";"
        raise DataError(f"no network {name!r}{hint} Known are {', '.join(NETS)}")
    return NETS[name]


def build(name: str, shape: tuple[int, ...] | None = None, classes: int = 10, seed: int = 0) -> nn.Module:
    """Return network ``name`` with weights drawn from a generator of ``seed``; torch's global one is left alone.

    >>> sum(parameter.numel() for parameter in build("lenet300").parameters())
    266610

    Args:
        name: of `NETS`.
        shape: of one input; that of the row unless told: (1, 28, 28) for MNIST's, (3, 32, 32) for CIFAR's.
        classes: number of outputs.
        seed: of the initialization.

    Raises:
        DataError: when the name is unknown or the shape does not suit the network.
    """
    row = net(name)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator when they are made
        module = row.builder(row.shape if shape is None else shape, classes)
    row.initialize(module, torch.Generator().manual_seed(seed))
    return module
