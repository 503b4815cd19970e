"""The digits of scikit-learn as larger images: what stands in for others, and what other data for them are."""

import torch
from torch.nn import functional as F

from laconic.models.data import Images, read_digits


def enlarged(side: int, channels: int = 1) -> Images:
    """Return the digits with pixels of 0 to 255, bilinear between those of 8 × 8, in equal channels.

    >>> enlarged(28).train[0].shape, int(enlarged(28).train[0].max())
    (torch.Size([1400, 1, 28, 28]), 255)

    Args:
        side: of the larger images.
        channels: how many.
    """

    def larger(pixels: torch.Tensor) -> torch.Tensor:
        bright = pixels.float() * (255 / 16)
        wide = F.interpolate(bright, (side, side), mode="bilinear", align_corners=False)
        return wide.round().clamp(0, 255).to(torch.uint8).repeat(1, channels, 1, 1)

    small = read_digits()
    (train, labels), (test, targets) = small.train, small.test
    return Images(f"digits of {side}x{side}", (larger(train), labels), (larger(test), targets))
