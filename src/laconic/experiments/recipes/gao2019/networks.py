"""The networks that the recipes run on: the paper's where they can be trained, ours where not."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import (
    BATCH,
    CIFAR_FAST,
    FULL,
    MNIST,
    MNIST_FAST,
    PANELS,
    PANELS100,
    RESNET,
    SMALL,
    TRAINING_MLP,
    Scale,
    Settings,
    Subject,
    holds,
)
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.reference import shortened, trained
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.training.task import classification

_RESNET = "resnet20"

_SHARE_OF_TRAINING = 0.4
"""Of the time that a network takes in all."""

_NOTES = {
    "conv7-fc1": "The sizes of the checkpoints that the paper loads.",
    "conv5-fc3": "5 convolutions and 3 linear layers, as the paper's text says; it gives no sizes, these are ours.",
}


def mnist(context: Context) -> Iterator[Subject]:
    """Yield the paper's network for MNIST, trained here; on digits where there is no MNIST."""
    there = holds(context.data_dir, "mnist", "train-images*")
    name = "mnist" if there else "digits"
    settings = MNIST_FAST if context.fast else MNIST
    ready = data.load(name, context.data_dir, nets.preprocessing_of("mlp256", name))
    note = (
        "The paper's network (784-256-256-10, ReLU, dropout 0.2), trained as its public code does; theirs has 98.42 %."
        if there
        else "No MNIST was found: the 8 x 8 digits of scikit-learn stand in, on a network of the paper's widths."
    )
    label = f"mlp256 {name}"
    module = nets.build("mlp256", ready.shape, ready.classes, context.seed)
    params = trained(context.part(0.0, 0.1), label, classification(module, ready, batch=BATCH), TRAINING_MLP)
    task = classification(module, _cut(ready, settings))
    yield Subject(label, task, params, settings, there, note, context.part(0.1, 1.0))


def cifar10(context: Context) -> Iterator[Subject]:
    """Yield networks for CIFAR-10: the paper's two with a GPU, conv5-fc3 with --train, else the published ResNet-20."""
    if _may_train(context):
        networks = ("conv7-fc1", "conv5-fc3") if torch.cuda.is_available() else ("conv5-fc3",)
        yield from _convolutional(context, "cifar10", networks)
        return
    settings = CIFAR_FAST if context.fast else RESNET
    ready = _cut(data.load("cifar10", context.data_dir, nets.preprocessing_of(_RESNET, "cifar10")), settings)
    assert context.data_dir is not None, "data.load refuses to go without"
    path = context.data_dir / "models" / f"{_RESNET}_cifar10.safetensors"
    if not path.is_file():
        raise DataError(f"cifar10 without a GPU runs on {path}, which is missing; add it, or --train the paper's nets")
    task = classification(nets.build(_RESNET, ready.shape, ready.classes), ready)
    note = (
        "Not the paper's network: a published ResNet-20, trained on all 50,000 training images, those that the choices "
        "are made on too. The paper's own networks are trained with a GPU or --train."
    )
    yield Subject("resnet20 cifar10", task, load_checkpoint(path)[0], settings, False, note, context)


def cifar10_conv7(context: Context) -> Iterator[Subject]:
    """Yield the network of the checkpoints that the paper loads for CIFAR-10, trained here."""
    yield from _largest(context, "cifar10", "gao2019-cifar10-conv7")


def cifar100(context: Context) -> Iterator[Subject]:
    """Yield the paper's network for CIFAR-100, trained here."""
    yield from _largest(context, "cifar100", "gao2019-cifar100", PANELS100)


def _largest(
    context: Context, name: str, recipe: str, panels: Mapping[str, tuple[str, ...]] = PANELS
) -> Iterator[Subject]:
    """Yield conv7-fc1, trained here, where a machine or a person says that it may be."""
    data.load(name, context.data_dir, nets.preprocessing_of("conv7-fc1", name))
    if not _may_train(context):
        raise DataError(f"{recipe} trains a network of 9.3 million weights: it needs a GPU, or --train and some hours")
    yield from _convolutional(context, name, ("conv7-fc1",), panels)


def _may_train(context: Context) -> bool:
    """Say whether the paper's networks are trained."""
    return context.train or torch.cuda.is_available()


def _convolutional(
    context: Context, name: str, networks: tuple[str, ...], panels: Mapping[str, tuple[str, ...]] = PANELS
) -> Iterator[Subject]:
    """Yield networks of the paper, trained here: at scale full with a GPU, at scale small without."""
    scale = FULL if torch.cuda.is_available() else SMALL
    device = "cuda" if torch.cuda.is_available() else "cpu"
    preprocessing = nets.preprocessing_of(networks[0], name)
    ready = data.load(name, context.data_dir, preprocessing, augment="crop and flip").to(device)
    ready = _channels_last(ready)
    for number, network in enumerate(networks):
        part = context.part(number / len(networks), (number + 1) / len(networks))
        yield _at_scale(part, network, ready, scale, panels)


def _at_scale(
    context: Context, network: str, ready: Dataset, scale: Scale, panels: Mapping[str, tuple[str, ...]]
) -> Subject:
    """Return a network trained as the scale says on augmented images, to be measured on images as they are."""
    settings = replace(scale.fast if context.fast else scale.settings, panels=panels)
    label = f"{network} {ready.name} {scale.name}"
    module = nets.build(network, ready.shape, ready.classes, context.seed).to(ready.splits["train"][0].device)
    whole = classification(module, ready, batch=scale.batch)
    task = whole if scale.images is None else shortened(whole, scale.images, scale.batch)
    params = trained(context.part(0.0, _SHARE_OF_TRAINING), label, task, scale.training)
    note = f"{_NOTES[network]} {scale.told()}"
    measured = classification(module, _cut(replace(ready, augment=None), settings))
    rest, published = context.part(_SHARE_OF_TRAINING, 1.0), network == "conv7-fc1"
    return Subject(label, measured, params, settings, published, note, rest, scale)


def _channels_last(ready: Dataset) -> Dataset:
    """Return the data set with the channels of a pixel side by side: convolutions take half the time on a processor."""
    splits = {name: (x.contiguous(memory_format=torch.channels_last), y) for name, (x, y) in ready.splits.items()}
    return replace(ready, splits=splits)


def _cut(ready: Dataset, settings: Settings) -> Dataset:
    """Return the data set with as many validation and test images as the settings say, the first ones."""
    counts = {"validation": settings.validation, "test": settings.test}
    splits = {name: (x[: counts.get(name)], y[: counts.get(name)]) for name, (x, y) in ready.splits.items()}
    return replace(ready, splits=splits)
