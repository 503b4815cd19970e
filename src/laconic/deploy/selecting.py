"""Layers that read some of what they are given: inputs of the network that nobody reads cost nothing."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@final
class SelectingLinear(nn.Linear):
    """`torch.nn.Linear` that reads some of its inputs: `W x[kept] + b`."""

    kept: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs for all inputs, of which some are read."""
        return F.linear(input.index_select(-1, self.kept), self.weight, self.bias)


@final
class SelectingConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` that reads some of its input channels."""

    kept: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs for all channels, of which some are read."""
        outputs: Tensor = self._conv_forward(input.index_select(-3, self.kept), self.weight, self.bias)
        return outputs


SELECTING: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: SelectingLinear, nn.Conv2d: SelectingConv2d}
"""Layer → the same layer that reads some of its inputs."""


def select(layer: nn.Module, kept: Sequence[int]) -> None:
    """Let a layer, whose weight has been narrowed, read some of its inputs, in place; torch's own classes alone.

    The indices are a buffer that no state has: they come with the edits of the file.
    """
    layer.__class__ = SELECTING[type(layer)]
    layer.register_buffer("kept", torch.tensor(kept, dtype=torch.int64), persistent=False)
