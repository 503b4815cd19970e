"""LeNet-5 and ResNet-20, whose kernels are what some techniques are for: how they come about, and what is compared."""

from dataclasses import replace

import torch

from laconic.errors import DataError
from laconic.experiments.recipes.equal_sizes.subject import Effort, Subject, learning, tuning
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.cifar import RESNET20
from laconic.experiments.recipes.records.mnist import LENET5
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.subject import Effort as RecordEffort
from laconic.experiments.recipes.records.subject import Subject as Network
from laconic.lc.normalization import with_constant_statistics
from laconic.models.ties import untied
from laconic.plans.plan import Plan
from laconic.training.clipping import SHARE

LABELS = (
    "lossless", "codebook", "grid", "keep", "filters", "channels", "heads", "rank", "rank after nuclear norm",
    "rank after orthogonality", "two_components", "learned_rank", "nuclear_price", "tucker", "cp", "choose",
)  # fmt: skip
"""What is compared: all that is for kernels, and of the rest what the statements need."""

OF_KERNELS = frozenset(("filters", "channels", "two_components", "tucker", "cp"))
"""What takes kernels apart, or out."""

_LENET5 = Effort(
    4_000, (10_000, 20_000), learning(1, 12, 3, lr=0.02, growth=1.6), tuning(5), tries=3, values=(),
    prices=(3e-3, 1e-2, 3e-2),
)  # fmt: skip
_LENET5_FAST = replace(_LENET5, targets=(20_000,), tries=1, prices=(1e-2,))
_SIZES = (26_972, 53_944, 107_888)
_RESNET20 = Effort(
    10_000, _SIZES, learning(1, 25, 5, lr=0.03, growth=1.3, clip=SHARE), tuning(5), tries=2, values=(),
    prices=(1e-3, 3e-3, 1e-2),
)  # fmt: skip
_RESNET20_FULL = replace(
    _RESNET20, images=45_000, learning=learning(15, 50, 20, lr=0.03, growth=1.1, clip=SHARE), tries=3
)
_RESNET20_FAST = replace(_RESNET20, targets=(53_944,), prices=(3e-3,))


def lenet5(context: Context) -> Subject:
    """Return LeNet-5 of the Caffe example on MNIST.

    Raises:
        DataError: where there is no MNIST, or no published network beside it.
    """
    if not holds(context.data_dir, "mnist", "train-images*"):
        raise DataError("techniques-lenet5 needs MNIST, for digits of 8 x 8 are too small for it: give --data-dir")
    note = (
        "LeNet-5 as Caffe trains it, on all 60,000 training images, those of the validation split too. An epoch has "
        "4,000 training images, others each time."
    )
    network = replace(LENET5, weights="models/lenet5_mnist.safetensors")
    return _published(network, _LENET5_FAST if context.fast else _LENET5, 64, None, note, context)


def resnet20(context: Context) -> Subject:
    """Return the published ResNet-20 on CIFAR-10: at the scale of a processor, or on a GPU, and with --train, in full.

    Raises:
        DataError: where there is no CIFAR-10, or no published network beside it.
    """
    if context.data_dir is None:
        raise DataError(f"techniques-resnet20 needs CIFAR-10 and {RESNET20.weights} in a folder: give --data-dir DIR")
    full = (context.train or torch.cuda.is_available()) and not context.fast
    effort = _RESNET20_FULL if full else _RESNET20_FAST if context.fast else _RESNET20
    note = (
        "The published ResNet-20 of Idelbayev, trained on all 50,000 training images, those of the validation split "
        "too. Running statistics of its normalizations are in their scales and shifts, and constant. Sizes are 40, 20 "
        "and 10 times below 4 bytes a parameter. "
    ) + (
        "Full scale: all training images in each epoch."
        if full
        else "Small scale: an epoch has 10,000 training images, others each time, and each file 30 epochs."
    )
    return _published(RESNET20, effort, 128 if full else 50, RESNET20.full.augment, note, context)


def _published(
    network: Network, effort: Effort, batch: int, augment: str | None, note: str, context: Context
) -> Subject:
    """Return a published network that is to be compressed."""
    images = None if effort.images == 45_000 else effort.images
    how = RecordEffort(None, effort.targets, effort.learning, 1, batch=batch, images=images, augment=augment)
    task, params = prepared(network, network.data, how, context.seed, "reference", context)
    whole, task, _ = with_constant_statistics(untied(params, task.module), task, Plan({}))
    return Subject(task, whole.params, effort, context, f"{network.net} {network.data}", note)
