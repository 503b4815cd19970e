"""SSD and SSDLite on MobileNetV1 and V2: maps of several resolutions, and on each a head of classes and offsets.

Liu et al. 2016, "SSD: single shot multibox detector"; SSDLite is of Sandler et al. 2018, "MobileNetV2", section 6.2: it
has depthwise separable convolutions in place of all those of 3 × 3 in the head and in the layers after the backbone.
The first map is what layer 15 of MobileNetV2 expands to (of V1 what its twelfth convolution writes), of stride 16, the
second the backbone's last, of stride 32; each further one is half of the one before, with 512, 256, 256 and 128
channels, as in `tensorflow/models`, object_detection. Names of parameters are those of torchvision's detectors:
`backbone.features`, `backbone.extra`, `head.classification_head.module_list`, `head.regression_head.module_list`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.models.nets.blocks import (
    depthwise,
    divisible,
    grouped,
    initialize_truncated,
    normalized,
    pointwise,
    with_channels_last,
)  # fmt: skip
from laconic.models.nets.default_boxes import FIRST, OTHER, default_boxes
from laconic.models.nets.mobilenet_v1 import MobileNetV1
from laconic.models.nets.mobilenet_v2 import MobileNetV2

EXTRAS = (512, 256, 256, 128)
"""Channels of the maps after the backbone."""


def predictor(before: int, numbers: int, *, lite: bool) -> nn.Module:
    """Return what predicts ``numbers`` at each position: a convolution of 3 × 3 with biases, or a separable one.

    9 · D_in · K + K parameters for K numbers, or 9 · D_in + 2 · D_in + D_in · K + K.
    """
    if not lite:
        return nn.Conv2d(before, numbers, 3, padding=1)
    return nn.Sequential(normalized(depthwise(before)), nn.Conv2d(before, numbers, 1))


def halving(before: int, after: int, *, lite: bool) -> nn.Sequential:
    """Return layers that write maps of half the side: pointwise to half of ``after``, then 3 × 3 of stride 2."""
    half = after // 2
    first = normalized(pointwise(before, half))
    if not lite:
        return nn.Sequential(first, normalized(grouped(half, after, 1, stride=2)))
    return nn.Sequential(first, normalized(depthwise(half, stride=2)), normalized(pointwise(half, after)))


@final
class PerMap(nn.Module):
    """A predictor for each map.

    Args:
        channels: of the maps.
        boxes: default boxes at each position of each map.
        numbers: that are predicted for each box.
        lite: whether predictors are depthwise separable.
    """

    def __init__(self, channels: Sequence[int], boxes: Sequence[int], numbers: int, *, lite: bool) -> None:
        super().__init__()
        self.numbers = numbers
        pairs = zip(channels, boxes, strict=True)
        self.module_list = nn.ModuleList(predictor(before, count * numbers, lite=lite) for before, count in pairs)

    def forward(self, maps: Sequence[Float[Tensor, "n c h w"]]) -> Float[Tensor, "n boxes numbers"]:
        """Return the numbers of all boxes, map by map, row by row, position by position."""
        written = [part(one).permute(0, 2, 3, 1) for part, one in zip(self.module_list, maps, strict=True)]
        return torch.cat([one.flatten(1).unflatten(1, (-1, self.numbers)) for one in written], 1)


@final
class Head(nn.Module):
    """What a detector says of each default box: four offsets, then logits of the background and of each class."""

    def __init__(self, channels: Sequence[int], boxes: Sequence[int], classes: int, *, lite: bool) -> None:
        super().__init__()
        self.classification_head = PerMap(channels, boxes, classes + 1, lite=lite)
        self.regression_head = PerMap(channels, boxes, 4, lite=lite)

    def forward(self, maps: Sequence[Float[Tensor, "n c h w"]]) -> Float[Tensor, "n boxes numbers"]:
        """Return offsets and logits side by side: one tensor, as calibration and exported graphs take it."""
        return torch.cat([self.regression_head(maps), self.classification_head(maps)], 2)


@final
class OnV1(nn.Module):
    """MobileNetV1 without its classifier, and the maps after it; see `Detector` for arguments."""

    def __init__(self, shape: tuple[int, ...], *, width: float, small: bool, extras: int, lite: bool) -> None:
        super().__init__()
        net = MobileNetV1(shape, 1, width=width, small=small)
        self.conv_stem, self.bn1, self.blocks = net.conv_stem, net.bn1, net.blocks
        self.strides = (8, 16) if small else (16, 32)
        self.channels = (divisible(512 * width), divisible(1024 * width), *_extra(width, extras))
        self.extra = _extras(self.channels[1:], lite=lite)

    def forward(self, images: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """Return the maps, large ones first."""
        hidden = F.relu6(self.bn1(self.conv_stem(images)))
        for block in list(self.blocks)[:-1]:
            hidden = block(hidden)
        return _onwards([hidden, self.blocks[-1](hidden)], self.extra)


@final
class OnV2(nn.Module):
    """MobileNetV2 without its classifier, and the maps after it; see `Detector` for arguments."""

    def __init__(self, shape: tuple[int, ...], *, width: float, small: bool, extras: int, lite: bool) -> None:
        super().__init__()
        self.features = MobileNetV2(shape, 1, width=width, small=small).features
        self.strides = (4, 8) if small else (16, 32)
        last = divisible(1280 * max(1.0, width))
        self.channels = (6 * divisible(96 * width), last, *_extra(width, extras))
        self.extra = _extras(self.channels[1:], lite=lite)

    def forward(self, images: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """Return the maps, large ones first."""
        hidden, maps = images, list[Tensor]()
        for place, layer in enumerate(self.features):
            if place != 14:
                hidden = layer(hidden)
                continue
            expansion, *others = layer.get_submodule(
                "conv"
            ).children()  # of stride 2, so that there is no shortcut around it
            hidden = expansion(hidden)
            maps.append(hidden)
            for part in others:
                hidden = part(hidden)
        return _onwards([*maps, hidden], self.extra)


BASES: Mapping[str, Callable[..., OnV1 | OnV2]] = MappingProxyType({"mobilenet-v1": OnV1, "mobilenet-v2": OnV2})
"""What a detector can stand on, by name."""


@final
class Detector(nn.Module):
    """SSD or SSDLite on a MobileNet.

    Args:
        shape: (channels, height, width) of one image, of even sides.
        classes: without the background, which is class 0 of the logits.
        base: "mobilenet-v1" or "mobilenet-v2".
        width: multiplier of all channels.
        small: whether images are so small that the backbone takes its stem for CIFAR: maps have strides of 4 and 8 on
            V2, of 8 and 16 on V1.
        lite: SSDLite; else SSD.
        extras: maps after the backbone, 0 to 4.
        scales: least and largest scale of the default boxes, as shares of the image.

    Attributes:
        default_boxes: centres and sides in pixels, shape (boxes, 4).

    Raises:
        DataError: for sides that are odd, a map of one position that would be halved, and a base that there is not.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, *, base: str = "mobilenet-v2", width: float = 1.0,
        small: bool = False, lite: bool = True, extras: int = len(EXTRAS), scales: tuple[float, float] = (0.2, 0.95),
    ) -> None:  # fmt: skip
        super().__init__()
        if base not in BASES:
            raise DataError(f"a detector stands on {' or '.join(BASES)}, not on {base!r}")
        if classes < 1 or not 0 <= extras <= len(EXTRAS):
            raise DataError(
                f"a detector has a class at least and 0 to {len(EXTRAS)} extra maps, not {classes}, {extras}"
            )
        self.backbone = BASES[base](shape, width=width, small=small, extras=extras, lite=lite)
        self.shape, self.classes = tuple(shape), classes
        self.maps = _maps((shape[1], shape[2]), self.backbone.strides, extras)
        counts = [FIRST] + [OTHER] * (len(self.maps) - 1)
        self.head = Head(self.backbone.channels, counts, classes, lite=lite)
        self.default_boxes = default_boxes((shape[1], shape[2]), self.maps, *scales)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n boxes numbers"]:
        """Return for each default box four offsets, then the logits of background and classes.

        Raises:
            DataError: for images of another size, to which the default boxes do not belong.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise DataError(
                f"the detector has default boxes for images {self.shape}, not {tuple(images.shape[1:])}: resize them, "
                "or make a detector for their size"
            )
        outputs: Tensor = self.head(self.backbone(with_channels_last(images)))
        return outputs


def initialize_detector(module: nn.Module, generator: torch.Generator) -> None:
    """Draw weights: those of the backbone as `initialize_truncated` does, all others with a deviation of 0.03.

    What the configurations of `tensorflow/models`, object_detection, have for the layers after the backbone.
    """
    initialize_truncated(module, generator)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and name.startswith(("head.", "backbone.extra.")):
            nn.init.trunc_normal_(layer.weight, std=0.03, a=-0.06, b=0.06, generator=generator)


def _extra(width: float, extras: int) -> list[int]:
    """Return the channels of the maps after the backbone."""
    return [divisible(channels * width) for channels in EXTRAS[:extras]]


def _extras(channels: Sequence[int], *, lite: bool) -> nn.ModuleList:
    """Return the layers that write each map but the first of ``channels`` from the one before it."""
    return nn.ModuleList(halving(one, after, lite=lite) for one, after in pairwise(channels))


def _onwards(maps: list[Tensor], layers: nn.ModuleList) -> list[Tensor]:
    """Return maps, and those that ``layers`` make one after the other from the last of them."""
    for layer in layers:
        maps.append(layer(maps[-1]))
    return maps


def _maps(image: tuple[int, int], strides: tuple[int, int], extras: int) -> list[tuple[int, int]]:
    """Return the sides of all maps.

    Raises:
        DataError: when there is nothing left to halve.
    """
    maps = [(-(-image[0] // stride), -(-image[1] // stride)) for stride in strides]
    for place in range(extras):
        rows, columns = maps[-1]
        if max(rows, columns) == 1:
            raise DataError(
                f"images of {image[0]}x{image[1]} give layer backbone.extra.{place} a map of 1x1, which it cannot "
                f"halve into new cells: take larger images, or extras={place}"
            )
        maps.append((-(-rows // 2), -(-columns // 2)))
    return maps
