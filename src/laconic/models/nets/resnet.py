"""The residual networks of He et al. 2016 for CIFAR-10 (section 4.2): 6n + 2 layers, shortcuts of option A.

Names of parameters are those of `akamaster/pytorch_resnet_cifar10`, whose checkpoints load as they are.
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError


@final
class BatchNorm(nn.BatchNorm2d):
    """Batch normalization whose state has no `num_batches_tracked`, as in older checkpoints."""

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__(channels, affine=affine)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load as any module does: torch's own version would add the missing counter, then reject it."""
        nn.Module._load_from_state_dict(self, *args, **kwargs)


def shortcut(inputs: Float[Tensor, "n c h w"], channels: int, stride: int) -> Float[Tensor, "n c2 h2 w2"]:
    """Return ``inputs`` subsampled by ``stride``, with zero channels around them up to ``channels`` (option A)."""
    added = channels - inputs.shape[1]
    if stride == 1 and not added:
        return inputs
    return F.pad(inputs[:, :, ::stride, ::stride], (0, 0, 0, 0, added // 2, added - added // 2))


@final
class Block(nn.Module):
    """Two convolutions of 3x3, each followed by batch normalization, and a shortcut around them."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm(channels)
        self.channels, self.stride = channels, stride

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the activations after the block."""
        hidden = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(inputs)))))
        return torch.relu(hidden + shortcut(inputs, self.channels, self.stride))


@final
class ResNet(nn.Module):
    """Three stages of ``blocks`` blocks with 16, 32 and 64 channels, the global mean, and one linear layer.

    Args:
        shape: (channels, height, width) of one input.
        classes: number of outputs.
        blocks: per stage; the network has 6 · blocks + 2 layers.

    Raises:
        DataError: when the inputs are no images.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, blocks: int) -> None:
        super().__init__()
        if len(shape) != 3:
            raise DataError(f"a ResNet takes images (channels, height, width), not inputs of shape {shape}")
        self.conv1 = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = BatchNorm(16)
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        inputs = inputs.to(memory_format=torch.channels_last)  # in which processors take a seventh less time
        hidden = torch.relu(self.bn1(self.conv1(inputs)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def _stage(before: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
    """Return ``blocks`` blocks, of which the first changes channels and stride."""
    rest = (Block(channels, channels, 1) for _ in range(blocks - 1))
    return nn.Sequential(Block(before, channels, stride), *rest)


def initialize_kaiming(module: nn.Module, generator: Generator) -> None:
    """Draw weights from Kaiming's normal distribution (fan-in, gain √2), layer by layer, and set biases to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
