"""What is measured, and on which network: the settings of Gao, Liu, Wang & Oh 2019 as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from laconic.errors import DataError
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
@dataclass(frozen=True)
class Scale:
    """How far the paper's convolutional networks are trained, and what is measured on them.

    Verdicts stay within one scale: every curve of a network is one of the same training and the same images.

    Args:
        name: "small" or "full".
        training: epochs and learning rate.
        batch: samples of a training batch.
        settings: what is measured.
        fast: what is measured with --fast; the training is the same.
        images: training images of an epoch, drawn anew from all of them in each; all unless told.
    """

    name: str
    training: Optimization
    batch: int
    settings: Settings
    fast: Settings
    images: int | None = None

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it, without what is measured."""
        return {
            "scale": self.name,
            "training": {"epochs": self.training.epochs, "images an epoch": self.images, "batch": self.batch},
        }

    def told(self) -> str:
        """Return the training in words.

        >>> FULL.told()
        'Scale full: trained for 150 epochs of all training images, in batches of 200.'
        """
        images = "all training images" if self.images is None else f"{self.images:,} training images, drawn anew"
        return f"Scale {self.name}: trained for {self.training.epochs} epochs of {images}, in batches of {self.batch}."


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
        scale: of a network that there are two scales of.
    """

    label: str
    task: Task
    params: Mapping[str, Tensor]
    settings: Settings
    published: bool
    note: str
    context: Context
    scale: Scale | None = None

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
        "pruning": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        "quantization": (2, 3, 4, 5, 6, 8, 12, 16),
    },
    anchors={"pruning": (0.4, 0.5, 0.6), "quantization": (4, 6, 8)},
    added=(0.0, 1 / 256, 1 / 64, 1 / 16, 1 / 4),
    samples=3_000,
    draws=1,
    validation=1_000,
)
"""The axes of the paper's figures: from nothing to all of the weights kept, and 4 to 12 % of the size.

Its ends are known without a run: all weights are the network itself, and no weights say nothing of the image.
"""
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

CIFAR_SMALL = replace(CIFAR, samples=1_000, test=3_000)
"""3,000 test images tell apart accuracies that differ by about a point and a half."""

RESNET = replace(
    CIFAR,
    values={
        "pruning": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        "quantization": (3, 4, 5, 6, 8, 12, 16),
    },
)
"""What its record has, which was made before the axes were those of the paper."""

PANELS100: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"unsupervised": ("baseline", "proposed"), "supervised": ("baseline", "gradient")}
)
"""The figures and curves of CIFAR-100."""

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

FULL = Scale("full", TRAINING_CONV, BATCH, CIFAR, CIFAR_FAST)
SMALL = Scale("small", replace(TRAINING_CONV, epochs=15), 100, CIFAR_SMALL, CIFAR_FAST, images=10_000)
"""For a processor: a twentieth of the images in half the batch. The rate falls at the same shares of the epochs."""


def holds(data_dir: Path | None, name: str, files: str) -> bool:
    """Say whether there is a file of data set ``name`` that the pattern ``files`` matches; without a folder none is.

    Raises:
        DataError: when a folder is named that has none: other data would take the place of what was asked for.
    """
    if data_dir is None:
        return False
    if any(any(place.glob(files)) for place in (data_dir / name, data_dir)):
        return True
    raise DataError(
        f"{data_dir} has no {files} of {name}, in a folder {name} or by itself: give --data-dir the folder that has, "
        "or leave it out (and LACONIC_DATA unset) for what can run on the digits of scikit-learn"
    )
