"""The blocks of compact networks: pointwise, grouped and depthwise convolutions, and what is made of them.

Howard et al. 2017 ("MobileNets: efficient convolutional neural networks for mobile vision applications") and Sandler et
al. 2018 ("MobileNetV2: inverted residuals and linear bottlenecks"). Each docstring says how many parameters a block has
and how many multiply-adds it takes for maps of h × w that are written; batch normalization has two parameters a channel
beside these, and no multiply-adds. Convolutions have no bias, which the normalization would take out again.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError


def pointwise(before: int, after: int) -> nn.Conv2d:
    """Return a convolution of 1 × 1: D_in · D_out weights, h · w · D_in · D_out multiply-adds; a ninth of 3 × 3."""
    return nn.Conv2d(before, after, 1, bias=False)


def grouped(
    before: int, after: int, groups: int, *, kernel: int = 3, stride: int = 1, layer: str = "a grouped convolution"
) -> nn.Conv2d:
    """Return a convolution whose channels are in groups, each of which reads its own part of the inputs.

    With kernels of k × k it has k² · D_in · D_out / g weights and takes h · w times as many multiply-adds.

    Args:
        before: channels that are read, D_in.
        after: channels that are written, D_out.
        groups: their number g.
        kernel: side k of a kernel, odd; maps are padded by half of it.
        stride: of the positions.
        layer: what an error calls it.

    Raises:
        DataError: when the groups divide the channels that are read, or written, not evenly.
    """
    if groups < 1 or before % groups or after % groups:
        raise DataError(
            f"{layer} cannot have {groups} groups: a weight of shape {(after, before, kernel, kernel)} would become "
            f"one of {(after, f'{before}/{groups}', kernel, kernel)}; take a number that divides {before} and {after}"
        )
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)


def depthwise(channels: int, *, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution of each channel by itself: k² · D weights, h · w · k² · D multiply-adds."""
    return grouped(channels, channels, channels, kernel=kernel, stride=stride)


def averaged(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
    """Return the mean of each map: what a linear layer reads in place of all positions (global average pooling).

    The layer then has D · K weights and K biases for K classes, and D · K multiply-adds: h · w times fewer weights than
    a dense layer on the flattened maps. Lin, Chen & Yan 2014, "Network in network".
    """
    return maps.mean((2, 3))


def divisible(channels: float) -> int:
    """Return the multiple of 8 next to ``channels``, at least 8, and at least nine tenths of it: the authors' rule.

    >>> [divisible(channels * 0.35) for channels in (16, 24, 32, 96)], divisible(32 * 1.4)
    ([8, 8, 16, 32], 48)
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


@final
class DepthwiseSeparable(nn.Module):
    """A depthwise convolution, then a pointwise one, each followed by batch normalization and ReLU6.

    k² · D_in + D_in · D_out weights, k = 3, and 2 · (D_in + D_out) numbers of normalizations; h · w · (k² · D_in +
    D_in · D_out) multiply-adds, which are 1/D_out + 1/k² of the h · w · k² · D_in · D_out of a full convolution.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = depthwise(before, stride=stride)
        self.bn1 = nn.BatchNorm2d(before)
        self.conv_pw = pointwise(before, after)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the activations after the block."""
        hidden = F.relu6(self.bn1(self.conv_dw(inputs)))
        return F.relu6(self.bn2(self.conv_pw(hidden)))


def normalized(convolution: nn.Conv2d) -> nn.Sequential:
    """Return a convolution with batch normalization and ReLU6 after it."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True))


@final
class InvertedResidual(nn.Module):
    """A bottleneck of D_in channels is expanded t times, filtered depthwise, and projected back without an activation.

    With E = t · D_in: D_in · E + k² · E + E · D_out weights and 2 · (2E + D_out) numbers of normalizations; where h × w
    maps are written and s² · h · w positions read, s² · h · w · D_in · E + h · w · (k² · E + E · D_out) multiply-adds.
    At t = 1 there is no expansion, and its terms are missing. Around it there is a shortcut where shapes are the same.

    Args:
        before: channels that are read, D_in.
        after: channels that are written, D_out.
        stride: s, of the depthwise convolution.
        expansion: t.
        linear: whether the projection is linear; else ReLU6 follows it, before the shortcut is added.
        shortcut: whether there is one at all.
    """

    def __init__(
        self, before: int, after: int, stride: int, expansion: int, *, linear: bool = True, shortcut: bool = True
    ) -> None:
        super().__init__()
        hidden = expansion * before
        layers: list[nn.Module] = [] if expansion == 1 else [normalized(pointwise(before, hidden))]
        layers += [normalized(depthwise(hidden, stride=stride)), pointwise(hidden, after), nn.BatchNorm2d(after)]
        self.conv = nn.Sequential(*layers, *([] if linear else [nn.ReLU6(inplace=True)]))
        self.around = shortcut and stride == 1 and before == after

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the bottleneck after the block."""
        written: Tensor = self.conv(inputs)
        return inputs + written if self.around else written


def check_images(net: str, shape: tuple[int, ...], layer: str) -> None:
    """Check that inputs suit a network whose first layer of stride 2 is ``layer``, which reads maps of their size.

    Raises:
        DataError: when they are no images, or of odd sides, which no layer halves.
    """
    if len(shape) != 3:
        raise DataError(f"{net} takes images (channels, height, width), not inputs of shape {shape}")
    channels, height, width = shape
    if height % 2 or width % 2 or not min(shape):
        raise DataError(
            f"{net} takes images whose sides are even: its layer {layer}, of stride 2, would read maps of "
            f"{height}x{width} and write {-(-height // 2)}x{-(-width // 2)}, which is not half; "
            f"take {(channels, max(2, height // 2 * 2), max(2, width // 2 * 2))}"
        )


def initialize_truncated(module: nn.Module, generator: Generator) -> None:
    """Draw weights from the normal distribution of deviation 0.09, cut off at two of them, and set biases to zero.

    What the authors' code does (`tensorflow/models`, slim, `mobilenet_v1.py` and `mobilenet.py`); neither paper says.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=0.09, a=-0.18, b=0.18, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def with_channels_last(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return images in the memory format in which processors take less time."""
    return images.to(memory_format=torch.channels_last)
