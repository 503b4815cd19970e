"""From pixels to inputs: part of a network's identity, so each way has a name.

A preprocessing is fitted to all official training images (validation ones too, as the published networks did) and
gives a pure function of pixels.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float32
from torch import Tensor

from laconic.errors import DataError
from laconic.models.data.images import Images, Pixels

Inputs = Float32[Tensor, "images channels height width"]
Transform = Callable[[Pixels], Inputs]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _scaled(divisor: float) -> Callable[[Pixels], Transform]:
    """Return the preprocessing that divides by a constant and needs no fit."""
    return lambda train: lambda pixels: pixels.float().div_(divisor)


def _centred(train: Pixels) -> Transform:
    """Map 0 to −1 and 255 to 1, as Inception and MobileNets were trained; needs no fit."""
    return lambda pixels: pixels.float().div_(127.5).sub_(1)


def _minus_mean_image(train: Pixels) -> Transform:
    """Subtract the mean of each pixel over the training images; sums are exact integers."""
    total = sum(
        (part.sum(0, dtype=torch.int64) for part in torch.split(train, 4096)), torch.zeros((), dtype=torch.int64)
    )
    mean = total.double().div(255 * len(train)).float()
    return lambda pixels: pixels.float().div_(255).sub_(mean)


def _standardized(train: Pixels) -> Transform:
    """Subtract one mean and divide by one standard deviation over all training pixels; sums are exact integers."""
    counts = torch.bincount(train.flatten(), minlength=256).tolist()
    mean = sum(value * count for value, count in enumerate(counts)) / (255 * train.numel())
    square = sum(value**2 * count for value, count in enumerate(counts)) / (255**2 * train.numel())
    std = (square - mean**2) ** 0.5
    if not std > 0:
        raise DataError("the training images are all of one colour: there is nothing to standardize")
    return lambda pixels: pixels.float().div_(255).sub_(mean).div_(std)


def _imagenet(train: Pixels) -> Transform:
    """Subtract ImageNet's channel means and divide by its channel standard deviations."""
    if train.shape[1] != 3:
        raise DataError(f"preprocessing 'imagenet' takes 3 channels, not {train.shape[1]}")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_IMAGENET_MEAN, _IMAGENET_STD))
    return lambda pixels: pixels.float().div_(255).sub_(mean).div_(std)


PREPROCESSING: Mapping[str, Callable[[Pixels], Transform]] = MappingProxyType(
    {
        "pixels/255 - mean image": _minus_mean_image,
        "pixels/255 standardized": _standardized,
        "pixels/256": _scaled(256),
        "pixels/16": _scaled(16),
        "pixels/127.5 - 1": _centred,
        "imagenet": _imagenet,
    }
)
"""Name of a preprocessing → its fit to training pixels."""


def fit(name: str, images: Images) -> Transform:
    """Return preprocessing ``name`` fitted to the training images.

    Raises:
        DataError: when the name is unknown or the preprocessing does not suit the images.
    """
    if name not in PREPROCESSING:
        raise DataError(f"no preprocessing {name!r}; known are {', '.join(map(repr, PREPROCESSING))}")
    if (name == "pixels/16") != (images.brightest == 16):
        fitting = "'pixels/16'" if images.brightest == 16 else "one of the others"
        raise DataError(
            f"{images.name} has pixels of 0 to {images.brightest}, which {name!r} does not suit; take {fitting} "
            "(laconic.models.nets.preprocessing_of names the right one for a network)"
        )
    return PREPROCESSING[name](images.train[0])
