"""What runs a network: how a layer is set up in it, so that it can be timed."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from itertools import cycle
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.csteps.layers import Layer
from laconic.csteps.profile import Setting

Run = Callable[[], object]
"""One run of a layer."""

_KEPT = 2
"""Outputs that are kept while the next are made, and inputs are taken in turn: in a network, too, a layer finds in the
cache little of what it has read and written before."""


class Runtime(ABC):
    """A program that runs networks."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As it is typed."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Its version."""

    @abstractmethod
    def prepared(self, layer: Layer, setting: Setting, batch: int) -> Run | None:
        """Return what runs a layer on ``batch`` inputs; None where the runtime has no such layout.

        A convolution reads a square image of the layer's positions, padded so that it writes one of the same size.
        """

    @abstractmethod
    def empty(self) -> Run | None:
        """Return a run of a network without layers, where that takes time of its own."""


def side(layer: Layer) -> int:
    """Return height and width of the image that a convolution reads."""
    return max(1, math.isqrt(layer.positions))


@final
class Torch(Runtime):
    """Layers as modules, called one after the other, without gradients."""

    name = "torch"
    version = torch.__version__

    def prepared(self, layer: Layer, setting: Setting, batch: int) -> Run | None:
        """Return the call of a module; threads are set when it runs."""
        generator = torch.Generator().manual_seed(0)
        module, image = _module(layer, setting), side(layer)
        for tensor in module.parameters():
            nn.init.uniform_(tensor, -0.1, 0.1, generator=generator)
        flat = batch * layer.positions, layer.inputs
        shape = flat if layer.kind == "dense" else (batch, layer.inputs, image, image)
        given = torch.rand(shape, generator=generator)
        if setting.layout == "channels_last":
            given = given.to(memory_format=torch.channels_last)
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.eval()
        inputs, kept = cycle([given, given.clone(), given.clone()]), deque[Tensor](maxlen=_KEPT)

        def run() -> object:
            if torch.get_num_threads() != setting.threads:
                torch.set_num_threads(setting.threads)
            with torch.inference_mode():
                kept.append(module(next(inputs)))
            return kept[-1]

        return run

    def empty(self) -> Run | None:
        """Return None: modules are called one by one."""
        return None


def _module(layer: Layer, setting: Setting) -> nn.Module:
    """Return the module of a layer, its weight in the layout."""
    if layer.kind == "elementwise":
        return nn.ReLU()
    if layer.kind == "normalization":
        return nn.BatchNorm2d(layer.inputs)
    if layer.kind == "pooling":
        return nn.MaxPool2d(2)
    if setting.layout == "columns":
        return _Columns(layer)
    if setting.layout == "tiles":
        return _Tiles(layer, setting.tile)
    return _plain(layer, layer.outputs)


def _plain(layer: Layer, outputs: int) -> nn.Module:
    """Return the module of torch with so many outputs."""
    if not layer.kernel:
        return nn.Linear(layer.inputs, outputs)
    high, wide = layer.kernel
    return nn.Conv2d(layer.inputs, outputs, (high, wide), padding="same", groups=layer.groups)


@final
class _Columns(nn.Module):
    """x Wᵀ, Wᵀ as it lies; of a convolution x are its windows."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.kernel = layer.kernel
        self.transposed = nn.Parameter(torch.empty(layer.columns, layer.outputs))
        self.bias = nn.Parameter(torch.empty(layer.outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs; those of a convolution are channels first, as it reads them."""
        if not self.kernel:
            return torch.addmm(self.bias, x, self.transposed)
        batch, channels, high, wide = x.shape
        if max(self.kernel) == 1:
            seen = x.reshape(batch, channels, -1)
        else:
            seen = F.unfold(x, self.kernel, padding=tuple(size // 2 for size in self.kernel))
        found = seen.transpose(1, 2) @ self.transposed + self.bias
        return found.transpose(1, 2).reshape(batch, -1, high, wide)


@final
class _Tiles(nn.Module):
    """Blocks of rows, one after the other."""

    def __init__(self, layer: Layer, tile: int) -> None:
        super().__init__()
        sizes = [min(tile, layer.outputs - start) for start in range(0, layer.outputs, tile)]
        self.blocks = nn.ModuleList(_plain(layer, size) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all blocks side by side."""
        return torch.cat([block(x) for block in self.blocks], dim=1)
