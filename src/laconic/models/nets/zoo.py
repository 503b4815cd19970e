"""The reference networks by name."""

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Generator, nn

from laconic.errors import DataError
from laconic.models.nets.blocks import initialize_truncated
from laconic.models.nets.efficientnet_lite import EfficientNetLite1
from laconic.models.nets.frankle import Conv2, initialize_glorot
from laconic.models.nets.lenet import LeNet5, LeNet300, initialize_xavier
from laconic.models.nets.mlp import MLP256, initialize_uniform
from laconic.models.nets.mobilenet_v1 import MobileNetV1
from laconic.models.nets.mobilenet_v2 import MobileNetV2
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
        classes: of that data set.
    """

    builder: Builder
    preprocessing: str
    initialize: Callable[[nn.Module, Generator], None]
    shape: tuple[int, ...]
    classes: int = 10


_MNIST, _CIFAR, _IMAGENET = (1, 28, 28), (3, 32, 32), (3, 224, 224)


def _resnet(layers: int) -> Net:
    """Return the row of the ResNet with ``layers`` = 6 · blocks + 2 layers."""
    blocks = (layers - 2) // 6
    return Net(lambda shape, classes: ResNet(shape, classes, blocks), "imagenet", initialize_kaiming, _CIFAR)


def _mobilenet(kind: Callable[..., nn.Module], preprocessing: str, small: bool = False, **options: float) -> Net:
    """Return the row of a MobileNet, for ImageNet or for the small images of CIFAR-10."""
    shape, classes = (_CIFAR, 10) if small else (_IMAGENET, 1000)
    return Net(partial(kind, small=small, **options), preprocessing, initialize_truncated, shape, classes)


def _mobilenets() -> dict[str, Net]:
    """Return MobileNets by name: width 1 has no number in it."""
    v1, v2 = (MobileNetV1, "pixels/127.5 - 1"), (MobileNetV2, "imagenet")
    return {
        "mobilenet-v1": _mobilenet(*v1),
        **{f"mobilenet-v1-{width}": _mobilenet(*v1, width=width) for width in (0.75, 0.5, 0.25)},
        "mobilenet-v1-cifar": _mobilenet(*v1, small=True),
        "mobilenet-v2": _mobilenet(*v2),
        **{f"mobilenet-v2-{width}": _mobilenet(*v2, width=width) for width in (1.4, 0.75, 0.5, 0.35)},
        "mobilenet-v2-cifar": _mobilenet(*v2, small=True),
        "mobilenet-v2-0.5-cifar": _mobilenet(*v2, small=True, width=0.5),
        "mobilenet-v2-0.5-cifar-nonlinear": _mobilenet(*v2, small=True, width=0.5, linear=False),
        "mobilenet-v2-0.5-cifar-no-shortcut": _mobilenet(*v2, small=True, width=0.5, shortcut=False),
    }


_LITE1 = Net(
    EfficientNetLite1, "pixels/127.5 - 1", initialize_truncated, (3, 240, 240), 1000
)  # whose authors read (pixels - 127) / 128: not a hundredth apart


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
        **_mobilenets(),
        "efficientnet-lite1": _LITE1,
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


def build(name: str, shape: tuple[int, ...] | None = None, classes: int | None = None, seed: int = 0) -> nn.Module:
    """Return network ``name`` with weights drawn from a generator of ``seed``; torch's global one is left alone.

    >>> sum(parameter.numel() for parameter in build("lenet300").parameters())
    266610

    Args:
        name: of `NETS`.
        shape: of one input; that of the row unless told: (1, 28, 28) for MNIST's, (3, 32, 32) for CIFAR's.
        classes: number of outputs; that of the row unless told.
        seed: of the initialization.

    Raises:
        DataError: when the name is unknown or the shape does not suit the network.
    """
    row = net(name)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator when they are made
        module = row.builder(row.shape if shape is None else shape, row.classes if classes is None else classes)
    row.initialize(module, torch.Generator().manual_seed(seed))
    return module
