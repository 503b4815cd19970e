"""The networks that the recipes run on: the paper's where they can be trained, ours where not."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import (
    BATCH,
    CIFAR,
    CIFAR100,
    CIFAR100_FAST,
    CIFAR_FAST,
    MNIST,
    MNIST_FAST,
    TRAINING_CONV,
    TRAINING_MLP,
    Settings,
    Subject,
    holds,
)
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.reference import trained
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.training.optimization import Optimization
from laconic.training.task import classification

RESNET = "resnet20"

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
    yield _trained(context, "mlp256", ready, ready, TRAINING_MLP, settings, there, note)


def cifar10(context: Context) -> Iterator[Subject]:
    """Yield the paper's networks for CIFAR-10 where they can be trained, else the published ResNet-20."""
    settings = CIFAR_FAST if context.fast else CIFAR
    if context.train or torch.cuda.is_available():
        yield from _convolutional(context, "cifar10", ("conv7-fc1", "conv5-fc3"), settings)
        return
    ready = _cut(data.load("cifar10", context.data_dir, nets.preprocessing_of(RESNET, "cifar10")), settings)
    assert context.data_dir is not None, "data.load refuses to go without"
    path = context.data_dir / "models" / f"{RESNET}_cifar10.safetensors"
    if not path.is_file():
        raise DataError(f"cifar10 without a GPU runs on {path}, which is missing; add it, or --train the paper's nets")
    task = classification(nets.build(RESNET, ready.shape, ready.classes), ready)
    note = (
        "Not the paper's network: a published ResNet-20, trained on all 50,000 training images, those that the choices "
        "are made on too. The paper's own networks are trained with a GPU or --train."
    )
    yield Subject("resnet20 cifar10", task, load_checkpoint(path)[0], settings, False, note, context)


def cifar100(context: Context) -> Iterator[Subject]:
    """Yield the paper's network for CIFAR-100, trained here."""
    settings = CIFAR100_FAST if context.fast else CIFAR100
    data.load("cifar100", context.data_dir, nets.preprocessing_of("conv7-fc1", "cifar100"))
    if not (context.train or torch.cuda.is_available()):
        raise DataError(
            "gao2019-cifar100 trains a network of 9.3 million weights: it needs a GPU, or --train and a day"
        )
    yield from _convolutional(context, "cifar100", ("conv7-fc1",), settings)


def _convolutional(context: Context, name: str, networks: tuple[str, ...], settings: Settings) -> Iterator[Subject]:
    """Yield networks of the paper, trained here."""
    plain = data.load(name, context.data_dir, nets.preprocessing_of(networks[0], name))
    augmented = data.load(name, context.data_dir, plain.preprocessing, augment="crop and flip")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for number, network in enumerate(networks):
        part = context.part(number / len(networks), (number + 1) / len(networks))
        note = f"{_NOTES[network]} Trained here as the public code of the paper's networks does."
        splits, published = (augmented.to(device), plain.to(device)), network == "conv7-fc1"
        yield _trained(part, network, *splits, TRAINING_CONV, settings, published, note)


def _trained(
    context: Context, network: str, training: Dataset, ready: Dataset, how: Optimization, settings: Settings,
    published: bool, note: str,
) -> Subject:  # fmt: skip
    """Return a network trained on ``training``, to be measured on ``ready``."""
    label = f"{network} {ready.name}"
    module = nets.build(network, ready.shape, ready.classes, context.seed).to(ready.splits["train"][0].device)
    params = trained(context.part(0.0, 0.1), label, classification(module, training, batch=BATCH), how)
    task = classification(module, _cut(ready, settings))
    return Subject(label, task, params, settings, published, note, context.part(0.1, 1.0))


def _cut(ready: Dataset, settings: Settings) -> Dataset:
    """Return the data set with as many validation and test images as the settings say, the first ones."""
    counts = {"validation": settings.validation, "test": settings.test}
    splits = {name: (x[: counts.get(name)], y[: counts.get(name)]) for name, (x, y) in ready.splits.items()}
    return replace(ready, splits=splits)
