"""From a name and a folder to a data set."""

from pathlib import Path

import torch

from laconic.errors import DataError
from laconic.models.data.augmentation import augmentation
from laconic.models.data.cifar import read_cifar10, read_cifar100
from laconic.models.data.dataset import Dataset
from laconic.models.data.digits import read_digits
from laconic.models.data.idx import read_idx
from laconic.models.data.images import Images
from laconic.models.data.preprocessing import fit

_VALIDATION = 5_000
_VALIDATION_OF_DIGITS = 200


def read(name: str, data_dir: Path | None) -> Images:
    """Read the pixels of data set ``name``: digits, cifar10, cifar100, or a folder of IDX files.

    Raises:
        DataError: when files are missing or unsound.
    """
    if name == "digits":
        return read_digits()
    if name in ("cifar10", "cifar100"):
        return read_cifar10(data_dir) if name == "cifar10" else read_cifar100(data_dir)
    return read_idx(name, data_dir)


def load(
    name: str,
    data_dir: Path | None,
    preprocessing: str,
    *,
    validation: int | None = None,
    augment: str | None = None,
) -> Dataset:
    """Read and preprocess a data set.

    >>> digits = load("digits", None, "pixels/16")
    >>> digits.shape, {split: len(targets) for split, (_, targets) in digits.splits.items()}
    ((1, 8, 8), {'train': 1200, 'validation': 200, 'test': 397})

    Args:
        name: "mnist", "fashion-mnist", "cifar10", "cifar100", "digits", or the name of a folder
            with the four IDX files.
        data_dir: the folder that holds the files or, by its name, their folder; digits needs none.
        preprocessing: a name of `PREPROCESSING`; `laconic.models.nets` knows which one a network was trained with.
        validation: how many of the last training images form the validation split; 5,000 (digits: 200) unless
            told. With 0 there is no validation split.
        augment: a name of `AUGMENTATIONS`, for training batches.

    Raises:
        DataError: when files are missing or unsound, or an argument does not suit the data.
    """
    images = read(name, data_dir)
    if validation is None:
        validation = _VALIDATION_OF_DIGITS if name == "digits" else _VALIDATION
    return prepare(images, preprocessing, validation=validation, augment=augment)


def prepare(images: Images, preprocessing: str, *, validation: int, augment: str | None = None) -> Dataset:
    """Preprocess images and cut them into splits; arguments and errors as for `load`."""
    pixels, labels = images.train
    kept = len(labels) - validation
    if validation < 0 or kept < 1:
        raise DataError(
            f"validation={validation} of the {len(labels)} training images of {images.name}: "
            f"choose 0 to {len(labels) - 1}"
        )
    transform = fit(preprocessing, images)
    black = transform(torch.zeros_like(pixels[:1]))
    inputs = transform(pixels)
    splits = {"train": (inputs[:kept], labels[:kept])}
    if validation:
        splits["validation"] = (inputs[kept:], labels[kept:])
    splits["test"] = (transform(images.test[0]), images.test[1])
    return Dataset(images.name, splits, images.classes, preprocessing, augmentation(augment, black))
