"""MobileNetV1: a full convolution, thirteen depthwise separable ones, the global mean, and one linear layer.

Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision applications", table 1. Names
of parameters are those of timm's `mobilenetv1_100`, whose checkpoints load as they are. Its activation is ReLU6, as in
the authors' code. 4,231,976 parameters and 568,740,352 multiply-adds at width 1 on images of 224 × 224.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.models.nets.blocks import DepthwiseSeparable, averaged, check_images, divisible, with_channels_last

_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
"""Channels, blocks, and the stride of the first of them."""


@final
class MobileNetV1(nn.Module):
    """MobileNetV1 of any width.

    Args:
        shape: (channels, height, width) of one input, of even sides; 224, 192, 160 or 128 in the paper.
        classes: number of outputs.
        width: multiplier α of all channels.
        small: whether images are as small as those of CIFAR: the first convolution then has stride 1.

    Raises:
        DataError: when the inputs are no images, or of odd sides.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, *, width: float = 1.0, small: bool = False) -> None:
        super().__init__()
        check_images("mobilenet-v1", shape, "blocks.1.0.conv_dw" if small else "conv_stem")
        before = divisible(32 * width)
        self.conv_stem = nn.Conv2d(shape[0], before, 3, 1 if small else 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        stages = []
        for channels, blocks, stride in _STAGES:
            after = divisible(channels * width)
            rest = (DepthwiseSeparable(after, after, 1) for _ in range(blocks - 1))
            stages.append(nn.Sequential(DepthwiseSeparable(before, after, stride), *rest))
            before = after
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(before, classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        hidden = F.relu6(self.bn1(self.conv_stem(with_channels_last(inputs))))
        logits: Tensor = self.classifier(averaged(self.blocks(hidden)))
        return logits
