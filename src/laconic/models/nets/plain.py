"""Plain convolutional networks for 32 × 32 images: convolutions of 3 × 3 in a row, max-pooling between them.

Each convolution is followed by a batch normalization without scale and shift, and a ReLU. A convolution has no bias:
the normalization would take it out again.

    conv7-fc1   128, 128, M, 256, 256, M, 512, 512, M, 1024 (no padding), M; one linear layer. The checkpoints that
                Gao, Liu, Wang & Oh 2019 load (`aaron-xichen/pytorch-playground`): 93.78 % on CIFAR-10.
    conv5-fc3   64, M, 128, M, 256, 256, M, 256, M; linear layers of 512 and 512 with dropout of 0.5, then the classes.
                The paper's text says "5 convolutional and 3 fully connected layers" and gives no sizes. These are
                ours: channels double at each halving as in VGG, up to 256; a third of the weights is in linear layers.
"""

from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.models.nets.resnet import BatchNorm


@final
class Stage(nn.Module):
    """Convolution, batch normalization, ReLU, and perhaps max-pooling."""

    def __init__(self, before: int, channels: int, padding: int, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, 3, padding=padding, bias=False)
        self.bn = BatchNorm(channels, affine=False)
        self.pool = pool

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the activations."""
        hidden = torch.relu(self.bn(self.conv(inputs)))
        return F.max_pool2d(hidden, 2) if self.pool else hidden


@final
class Head(nn.Module):
    """Linear layers with ReLU and dropout between them."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.dropout = nn.Dropout(0.5)

    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        for layer in list(self.layers)[:-1]:
            inputs = self.dropout(torch.relu(layer(inputs)))
        logits: Tensor = self.layers[-1](inputs)
        return logits


def conv7(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return conv7-fc1: 9,303,434 parameters on CIFAR-10."""
    rows = [(128, 1, 0), (128, 1, 1), (256, 1, 0), (256, 1, 1), (512, 1, 0), (512, 1, 1), (1024, 0, 1)]
    return _plain("conv7-fc1", shape, rows, (1024, classes))


def conv5(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return conv5-fc3: 2,342,602 parameters on CIFAR-10."""
    rows = [(64, 1, 1), (128, 1, 1), (256, 1, 0), (256, 1, 1), (256, 1, 1)]
    return _plain("conv5-fc3", shape, rows, (256 * 2 * 2, 512, 512, classes))


def _plain(
    name: str, shape: tuple[int, ...], rows: list[tuple[int, int, int]], widths: tuple[int, ...]
) -> nn.Sequential:
    """Return the network of stages (channels, padding, pooled) and a head.

    Raises:
        DataError: when the inputs are not images of 32 × 32.
    """
    if len(shape) != 3 or tuple(shape[1:]) != (32, 32):
        raise DataError(f"{name} takes images of 32x32 pixels, not {shape}; a resnet takes any size")
    channels = [shape[0], *(row[0] for row in rows)]
    stages = [
        Stage(before, after, padding, bool(pool))
        for before, (after, padding, pool) in zip(channels, rows, strict=False)
    ]
    return nn.Sequential(*stages, nn.Flatten(), Head(widths))
