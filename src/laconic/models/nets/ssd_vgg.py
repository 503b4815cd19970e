"""SSD300 and SSD512 on VGG16, the detectors that SSDLite is compared with; here for what they cost.

Liu et al. 2016, "SSD: single shot multibox detector", figure 2 and section 3, and the authors' `ssd_pascal.py` and
`ssd_coco.py`. Names of parameters are those of torchvision's `ssd300_vgg16`, which has 35,641,826 of them for 90
classes. With 80 classes SSD300 has 34,305,206 parameters, SSD512 36,038,196.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.models.nets.ssd import Head

_VGG = ((64, 2), (128, 2), (256, 3), (512, 3))
"""Channels and convolutions of the stages before the first map."""

_AFTER = {300: ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)),
          512: ((256, 512, 3, 2, 1), *[(128, 256, 3, 2, 1)] * 3, (128, 256, 4, 1, 1))}  # fmt: skip
"""By side: inner and written channels, kernel, stride and padding of the layers after the backbone."""

_BOXES = {300: (4, 6, 6, 6, 4, 4), 512: (4, 6, 6, 6, 6, 4, 4)}


@final
class VGGMaps(nn.Module):
    """VGG16 without its classifier, with the layers that make smaller maps of its last."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers, before = list[nn.Module](), 3
        for stage, (channels, count) in enumerate(_VGG):
            layers += [nn.MaxPool2d(2, 2, ceil_mode=stage == 3)] if stage else []
            for _ in range(count):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
        self.features = nn.Sequential(*layers)
        self.scale_weight = nn.Parameter(torch.full((before,), 20.0))
        fifth = [part for _ in range(3) for part in (nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(inplace=True))]
        dense = nn.Sequential(
            nn.MaxPool2d(3, 1, 1), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True),
        )  # fmt: skip
        extra, before = [nn.Sequential(nn.MaxPool2d(2, 2), *fifth, dense)], 1024
        for inner, after, kernel, stride, padding in _AFTER[side]:
            first, second = nn.Conv2d(before, inner, 1), nn.Conv2d(inner, after, kernel, stride, padding)
            extra.append(nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True)))
            before = after
        self.extra = nn.ModuleList(extra)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Return the maps, large ones first; the first is normalized at each position."""
        hidden = self.features(images)
        maps = [self.scale_weight.view(1, -1, 1, 1) * F.normalize(hidden)]
        for layer in self.extra:
            hidden = layer(hidden)
            maps.append(hidden)
        return maps


@final
class SSDVGG(nn.Module):
    """SSD300 or SSD512.

    Args:
        side: of an image, 300 or 512.
        classes: without the background.

    Raises:
        DataError: for another side: on smaller images the last layers, without padding, have no cells left.
    """

    def __init__(self, side: int = 300, classes: int = 80) -> None:
        super().__init__()
        if side not in _BOXES:
            raise DataError(f"SSD on VGG16 takes images of side {' or '.join(map(str, _BOXES))}, not {side}")
        self.backbone = VGGMaps(side)
        channels = (512, 1024, *(after for _, after, *_ in _AFTER[side]))
        self.head = Head(channels, _BOXES[side], classes, lite=False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n boxes numbers"]:
        """Return for each default box four offsets, then the logits of background and classes."""
        outputs: Tensor = self.head(self.backbone(images))
        return outputs
