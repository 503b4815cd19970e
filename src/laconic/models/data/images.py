"""Images and labels as their files give them, before any preprocessing."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import UInt8
from torch import Tensor

from laconic.errors import DataError

Pixels = UInt8[Tensor, "images channels height width"]


@final
@dataclass(frozen=True, eq=False)
class Images:
    """The official training and test images of one data set.

    Args:
        name: of the data set.
        train: training pixels, uint8 of shape (images, channels, height, width), and labels, int64 of shape (images,),
            in the order of the file.
        test: test pixels and labels, likewise.
        brightest: the largest pixel value that the format allows (255; 16 for digits).

    Raises:
        DataError: when counts or shapes do not agree.
    """

    name: str
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    brightest: int = 255

    def __post_init__(self) -> None:
        for part, (pixels, labels) in (("training", self.train), ("test", self.test)):
            if len(pixels) != len(labels) or not len(labels):
                raise DataError(f"{self.name}: {len(pixels)} {part} images, but {len(labels)} labels")
        if self.train[0].shape[1:] != self.test[0].shape[1:]:
            shapes = [tuple(pixels.shape[1:]) for pixels, _ in (self.train, self.test)]
            raise DataError(f"{self.name}: training images have shape {shapes[0]}, but test images {shapes[1]}")

    @property
    def classes(self) -> int:
        """The number of classes: the largest label plus one."""
        return 1 + int(torch.max(self.train[1].max(), self.test[1].max()))
