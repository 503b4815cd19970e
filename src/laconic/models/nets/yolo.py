"""YOLOv2 on Darknet-19, a detector that SSDLite is compared with; here for what it costs.

Redmon & Farhadi 2017, "YOLO9000: better, faster, stronger", sections 2 and 3, and the authors' `yolov2.cfg`. The paper
brings the maps of 512 channels and twice the side to the last ones as they are, as 2,048 channels; the configuration
narrows them to 64 channels before, which are 256 then. Each of 5 boxes at a position has 4 offsets, a score, and the
logits of the classes. With 80 classes 50,962,889 parameters as in the configuration, 67,445,065 as in the paper.
"""

from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_STAGES = ((3, 32), (32, 64), (64, 128, 64, 128), (128, 256, 128, 256), (256, 512, 256, 512, 256, 512))
_LAST = (512, 1024, 512, 1024, 512, 1024)
"""Channels of Darknet-19: kernels of 3 and 1 by turns."""

BOXES = 5
"""At each position."""


def _layer(before: int, after: int, kernel: int) -> nn.Sequential:
    """Return a convolution with batch normalization and a leaky ReLU."""
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.1, inplace=True))


def _stage(channels: tuple[int, ...]) -> list[nn.Module]:
    """Return the layers of a stage."""
    return [_layer(*pair, 1 if place % 2 else 3) for place, pair in enumerate(pairwise(channels))]


@final
class YOLOv2(nn.Module):
    """YOLOv2.

    Args:
        classes: without a background, which it has not.
        narrowed: whether the maps of twice the side are narrowed, as in the authors' configuration, or as in the paper.
    """

    def __init__(self, classes: int = 80, *, narrowed: bool = True) -> None:
        super().__init__()
        first = list[nn.Module]()
        for place, channels in enumerate(_STAGES):
            first += [nn.MaxPool2d(2, 2), *_stage(channels)] if place else _stage(channels)
        self.fine = nn.Sequential(*first)
        self.coarse = nn.Sequential(nn.MaxPool2d(2, 2), *_stage(_LAST), _layer(1024, 1024, 3), _layer(1024, 1024, 3))
        self.narrow = _layer(512, 64, 1) if narrowed else nn.Identity()
        self.head = nn.Sequential(
            _layer(1024 + 4 * (64 if narrowed else 512), 1024, 3), nn.Conv2d(1024, BOXES * (5 + classes), 1)
        )

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n numbers h2 w2"]:
        """Return what is said of the boxes at each position; sides are multiples of 32."""
        fine = self.fine(images)
        passed = F.pixel_unshuffle(self.narrow(fine), 2)
        outputs: Tensor = self.head(torch.cat([passed, self.coarse(fine)], 1))
        return outputs
