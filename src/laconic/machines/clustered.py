"""Gradients that share a few values: a codebook for each tensor and step, indices on the wire.

    min over c, κ   Σ_i (g_i − c_κ(i))²,    κ(i) in range(K)

by `laconic.quantize.clustering`, exact as far as that is. Biased, for a codebook is fitted to the gradient; it goes
with a memory of what was not sent.

Source: clustering of weights as in Han, Mao & Dally, "Deep Compression" (ICLR 2016), section 3, applied to gradients.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import FormatError, PlanError
from laconic.format.coding.varints import Cursor, varint
from laconic.machines.codec import GradientCodec, flat, shaped
from laconic.machines.wire import finish, float_bytes, read_floats, read_symbols, symbols_bytes
from laconic.quantize.clustering import cluster, nearest

MOST = 1024
"""Values that a codebook may have: more would cost the entropy coder a table as long as small tensors."""


@final
@dataclass(frozen=True)
class Clustered(GradientCodec):
    """A codebook of at most ``values`` numbers.

    Raises:
        PlanError: for fewer than one, or more than `MOST`.

    >>> codec = Clustered(2)
    >>> codec.decode(codec.encode(torch.tensor([0.0, 1.0, 9.0, 11.0]), torch.Generator()), (4,))
    tensor([ 0.5000,  0.5000, 10.0000, 10.0000])
    """

    values: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.values <= MOST:
            raise PlanError(f"values of a codebook are 1 to {MOST}, not {self.values}")

    def share(self, gradient: Tensor) -> None:
        """Return nothing: each worker has its codebook."""
        return None

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the codebook and the indices."""
        g = flat(gradient)
        codebook = cluster(g, None, self.values).astype(np.float32)
        indices = nearest(g, codebook.astype(np.float64))
        return varint(len(codebook)) + float_bytes(codebook) + symbols_bytes(indices, len(codebook))

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return the entry of each index."""
        cursor, count = Cursor(data), math.prod(shape)
        entries = cursor.varint()
        if entries > self.values:
            raise FormatError(f"a codebook of {entries} values where at most {self.values} were agreed on")
        codebook = read_floats(cursor, entries)
        indices = read_symbols(cursor, count, entries)
        finish(cursor)
        return shaped(codebook[indices], shape)
