"""Random changes of training images, batch by batch: pure functions of the inputs and a generator."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Generator, Tensor

from laconic.errors import DataError
from laconic.models.data.preprocessing import Inputs

Augment = Callable[[Inputs, Generator], Inputs]
_PAD = 4


def _crop_and_flip(black: Tensor) -> Augment:
    """Pad by 4 black pixels, crop at random to the old size, flip left and right half of the time.

    The training of He et al. 2016, section 4.2 (CIFAR-10).

    Args:
        black: the inputs of one black image, shape (1, channels, height, width).

    Raises:
        DataError: when black is not the same everywhere in a channel, so that there is nothing to pad with.
    """
    edge = black[:, :, :1, :1]
    if not bool((black == edge).all()):
        raise DataError("'crop and flip' needs a preprocessing that treats all pixels of a channel alike")

    def augment(inputs: Tensor, generator: Generator) -> Tensor:
        count, _, height, width = inputs.shape
        padded = edge.to(inputs).repeat(count, 1, height + 2 * _PAD, width + 2 * _PAD)
        padded[:, :, _PAD:-_PAD, _PAD:-_PAD] = inputs
        top, left = torch.randint(2 * _PAD + 1, (2, count), generator=generator).to(inputs.device)
        flip = torch.randint(2, (count, 1, 1, 1), generator=generator).to(inputs.device)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        crops = windows[torch.arange(count, device=inputs.device), :, top, left]
        return torch.where(flip == 1, crops.flip(3), crops)

    return augment


AUGMENTATIONS: Mapping[str, Callable[[Tensor], Augment]] = MappingProxyType({"crop and flip": _crop_and_flip})
"""Name of an augmentation → its making from the inputs of one black image."""


def augmentation(name: str | None, black: Tensor) -> Augment | None:
    """Return augmentation ``name``, or None for None.

    Raises:
        DataError: when the name is unknown or the augmentation does not suit the preprocessing.
    """
    if name is None:
        return None
    if name not in AUGMENTATIONS:
        raise DataError(f"no augmentation {name!r}; known are {', '.join(map(repr, AUGMENTATIONS))}")
    return AUGMENTATIONS[name](black)
