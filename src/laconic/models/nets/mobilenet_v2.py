"""MobileNetV2: seventeen inverted residuals with linear bottlenecks between two convolutions, and one linear layer.

Sandler, Howard, Zhu, Zhmoginov & Chen 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2. Names of
parameters are those of torchvision's `mobilenet_v2`, whose checkpoints load as they are. 3,504,872 parameters and
300,774,272 multiply-adds at width 1 on images of 224 × 224. Its two ablations (figure 6) have the same names: ReLU6
after each projection, and no shortcuts.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from laconic.models.nets.blocks import (
    InvertedResidual,
    averaged,
    check_images,
    divisible,
    normalized,
    pointwise,
    with_channels_last,
)  # fmt: skip

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion t, channels c, blocks n, and the stride s of the first of them."""


@final
class MobileNetV2(nn.Module):
    """MobileNetV2 of any width.

    Args:
        shape: (channels, height, width) of one input, of even sides; 224, 192, 160, 128 or 96 in the paper.
        classes: number of outputs.
        width: multiplier of all channels; those before the linear layer are at least 1,280.
        small: whether images are as small as those of CIFAR: the first convolution and the stage of 24 channels then
            have stride 1, as in `kuangliu/pytorch-cifar`.
        linear: whether projections are linear, as in the paper; else ReLU6 follows them.
        shortcut: whether blocks have shortcuts, as in the paper.

    Raises:
        DataError: when the inputs are no images, or of odd sides.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, *, width: float = 1.0, small: bool = False, linear: bool = True,
        shortcut: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        check_images("mobilenet-v2", shape, "features.4.conv.1.0" if small else "features.0.0")
        before, last = divisible(32 * width), divisible(1280 * max(1.0, width))
        stem = nn.Conv2d(shape[0], before, 3, 1 if small else 2, padding=1, bias=False)
        features: list[nn.Module] = [normalized(stem)]
        for expansion, channels, blocks, first in _STAGES:
            after = divisible(channels * width)
            for place in range(blocks):
                stride = 1 if place or (small and channels == 24) else first
                features.append(InvertedResidual(before, after, stride, expansion, linear=linear, shortcut=shortcut))
                before = after
        self.features = nn.Sequential(*features, normalized(pointwise(before, last)))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        logits: Tensor = self.classifier(averaged(self.features(with_channels_last(inputs))))
        return logits
