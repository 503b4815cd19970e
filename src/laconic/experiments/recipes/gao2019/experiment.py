"""What is measured, and on which network: the settings of Gao, Liu, Wang & Oh 2019 as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import final

import torch
from torch import Tensor
from torch.optim import Optimizer

from laconic.experiments.recipes.recipe import Context
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

PANELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"unsupervised": ("baseline", "proposed"), "supervised": ("baseline", "gradient", "hessian", "gradient+hessian")}
)
"""The two figures of the paper and the curves in each."""


@final
@dataclass(frozen=True)
class Settings:
    """How finely the curves are drawn, and what is tried.

    Args:
        values: by technique: the shares that pruning keeps, the numbers of clusters.
        anchors: by technique: the points of the figure of sensitivity.
        temperatures: T of the unsupervised importance.
        added: μ, added to the Hessian.
        each: temperature and μ are chosen anew at each point of a curve; else once, by the mean over the anchors.
        samples: training samples of an importance; all unless told.
        draws: labels drawn for each sample for the unsupervised importance and the Hessian; the exact sum unless told.
        validation: validation images that choices are made on; all unless told.
        test: test images; all unless told.
        panels: figures and their methods.
    """

    values: Mapping[str, tuple[float, ...]]
    anchors: Mapping[str, tuple[float, ...]]
    temperatures: tuple[float, ...] = tuple(range(1, 10))
    added: tuple[float, ...] = (0.0,)
    each: bool = False
    samples: int | None = None
    draws: int | None = None
    validation: int | None = None
    test: int | None = None
    panels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PANELS)


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network that is compressed.

    Args:
        label: network and data set, in a few words; it names figures and cached points.
        task: module, splits and loss.
        params: trained weights.
        settings: what is measured.
        published: of the paper, so that verdicts are on its claims.
        note: how the network came about.
        context: what it runs in.
    """

    label: str
    task: Task
    params: Mapping[str, Tensor]
    settings: Settings
    published: bool
    note: str
    context: Context

    def part(self, start: float, stop: float) -> "Subject":
        """Return the same for a part of the work."""
        return replace(self, context=self.context.part(start, stop))


MNIST = Settings(
    values={
        "pruning": (0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25),
        "quantization": (2, 3, 4, 5, 6, 8, 10, 12, 16),
    },
    anchors={"pruning": (0.05, 0.075, 0.1), "quantization": (2, 3, 4)},
    added=(0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    each=True,
)
MNIST_FAST = replace(
    MNIST,
    values={"pruning": (0.025, 0.05, 0.1, 0.2), "quantization": (2, 4, 8)},
    temperatures=(1, 3, 6, 9),
    added=(0.0, 1e-3, 1e-1),
    samples=5_000,
)

CIFAR = Settings(
    values={
        "pruning": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        "quantization": (3, 4, 5, 6, 8, 12, 16),
    },
    anchors={"pruning": (0.4, 0.5, 0.6), "quantization": (4, 6, 8)},
    added=(0.0, 1 / 256, 1 / 64, 1 / 16, 1 / 4),
    samples=3_000,
    draws=1,
    validation=1_000,
)
CIFAR_FAST = replace(
    CIFAR,
    values={"pruning": (0.2, 0.4, 0.6, 0.8), "quantization": (4, 8, 16)},
    temperatures=(1, 3, 6, 9),
    added=(0.0, 1 / 16, 1 / 4),
    samples=1_000,
    validation=500,
    test=2_000,
)
"""2,000 test images tell apart accuracies that differ by about two points."""

CIFAR100 = replace(CIFAR, panels={"unsupervised": ("baseline", "proposed"), "supervised": ("baseline", "gradient")})
CIFAR100_FAST = replace(CIFAR_FAST, panels=CIFAR100.panels)

BATCH = 200
"""Samples of a training batch of the paper's networks."""


def momentum(leaves: Sequence[Tensor], lr: float) -> Optimizer:
    """Return SGD with heavy-ball momentum 0.9."""
    return torch.optim.SGD(leaves, lr=lr, momentum=0.9)


def two_drops(progress: float) -> float:
    """Return the factor of the learning rate: a tenth from 80 epochs of 150 on, a hundredth from 120 on.

    >>> two_drops(0.5), two_drops(80 / 150), two_drops(0.9)
    (1.0, 0.1, 0.01)
    """
    return 1.0 if progress < 80 / 150 else 0.1 if progress < 120 / 150 else 0.01


TRAINING_MLP = Optimization(epochs=40, lr=0.01, weight_decay=1e-4, optimizer=momentum)
TRAINING_CONV = Optimization(epochs=150, lr=0.001, anneal=two_drops, optimizer=adam)
"""As the public code trains the checkpoints that the paper loads (`aaron-xichen/pytorch-playground`). Departures: 5,000
training images are kept for validation, biases do not decay, the last epoch is taken, not the best on test images."""


def holds(data_dir: Path | None, name: str, files: str) -> bool:
    """Say whether there is a file of data set ``name`` that the pattern ``files`` matches."""
    places = [] if data_dir is None else [data_dir / name, data_dir]
    return any(any(place.glob(files)) for place in places)
