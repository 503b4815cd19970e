"""The networks of the curves, and how long each is trained: the LeNets on MNIST, ResNets and VGG-16 on CIFAR-10.

The small scale of CIFAR-10 is for a processor, 10,000 images an epoch; the full one has the schedule of Idelbayev &
Carreira-Perpiñán 2020 for ResNets and VGG-16: 50 and 60 L steps of 15 epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import final

from laconic.experiments.recipes.lc_curves.settings import CURVES, Effort, adaptive, fixed, learning, pruning
from laconic.experiments.recipes.records.cifar import RESNET20, VGG16
from laconic.experiments.recipes.records.mnist import LENET5, LENET300
from laconic.experiments.recipes.records.subject import Subject


@final
@dataclass(frozen=True, eq=False)
class Curves:
    """A network with its curves.

    Args:
        subject: the network, where its weights come from and what its reference is trained by.
        full: what is run in earnest.
        small: of MNIST what is run on digits where there is no MNIST, None where these are too small for the network;
            of CIFAR-10 what a processor can run.
        losses: by label of a setting what the source says of its error: "none", "nearly none" or "some".
    """

    subject: Subject
    full: Effort
    small: Effort | None
    losses: Mapping[str, str]


def _digits() -> Effort:
    """Return what is run on digits."""
    before = LENET300.small
    assert before is not None, "its inputs are of any size"
    settings = (adaptive(2), adaptive(16), pruning(0.02), pruning(0.1), *fixed()[:2])
    return Effort(before, settings, learning(30, 5, 10, mu=1e-3, growth=1.15, lr=0.1))


_SAID = MappingProxyType({"K = 2": "nearly none"})
_RESIDUAL = MappingProxyType({"K = 4": "none", "K = 2": "some", "P = 5 %": "none", "P = 10 %": "none"})

LENETS = (
    Curves(
        LENET300,
        Effort(LENET300.full, CURVES, learning(50, 1, 10, mu=5e-4, growth=1.1, lr=0.1), 27_520),
        _digits(),
        {**_SAID, "P = 2 %": "nearly none"},
    ),
    Curves(
        LENET5,
        Effort(LENET5.full, CURVES, learning(50, 1, 10, mu=2.5e-3, growth=1.1, lr=0.02), 6_400, 32),
        None,
        _SAID,
    ),
)

_FEW = (adaptive(2), adaptive(4), pruning(0.03), pruning(0.05))
_MORE = (*map(adaptive, (2, 4, 8, 16)), *map(pruning, (0.01, 0.03, 0.05, 0.1)))
_SEEN = 200 * 50_000  # by the published references
_RESNET_FULL = learning(50, 15, 20, mu=3e-4, growth=1.1, lr=0.03)
_SMALL = learning(22, 1, 6, mu=2e-3, growth=1.2, lr=0.03)


def _resnet(subject: Subject) -> Curves:
    """Return a residual network, whose reference is a published one."""
    assert subject.small is not None, "a processor can run it"
    return Curves(
        subject, Effort(subject.full, _MORE, _RESNET_FULL, seen=_SEEN),
        Effort(subject.small, _FEW, _SMALL, 10_000, 25, _SEEN), _RESIDUAL,
    )  # fmt: skip


def _deeper(layers: int) -> Subject:
    """Return a deeper ResNet of the same publication."""
    name = f"resnet{layers}"
    return replace(RESNET20, net=name, title=f"ResNet-{layers}", weights=f"models/{name}_cifar10.safetensors")


assert VGG16.small is not None, "a processor can run it"
RESNETS = (
    _resnet(RESNET20),
    *(_resnet(_deeper(layers)) for layers in (32, 56, 110)),
    Curves(
        VGG16, Effort(VGG16.full, (adaptive(2),), learning(60, 15, 20, mu=1e-4, growth=1.1, lr=0.03)),
        Effort(VGG16.small, (adaptive(2),), _SMALL, 10_000, 25), _SAID,
    ),
)  # fmt: skip
