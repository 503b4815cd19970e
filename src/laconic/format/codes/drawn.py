"""Weights in blocks, each a vector that a seeded generator draws: what is stored is which one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.hashing import normals, order_of
from laconic.format.codes.rounding import rounded
from laconic.format.codes.streams import Symbols, Values
from laconic.format.coding import FLOATS, dtype_of

_AT_ONCE = 1 << 16
"""Numbers that are drawn at once."""


@final
@dataclass(frozen=True, eq=False)
class DrawnCode(Code):
    """Δ(Θ)_i = scale · z(k_b, j): the weight that comes as element j of block b in the seeded order of all weights.

    z(k, j) is element j of the k-th vector of nearly normal integers (`hashing.normals`). Blocks are runs of ``length``
    weights in the order of `hashing.order_of`, the last one perhaps shorter. The product is in float64 and rounded
    once: the same bits on every machine. Only vectors that are used are drawn, however many there may be.

    Args:
        shape: shape of the tensor.
        dtype: its element type, a float.
        seed: of order and vectors, below 2³².
        length: weights a block, at least 1 and no more than the tensor has (or 1).
        scale: one float, which tensors may share.
        indices: k, one symbol for each block.

    >>> code = DrawnCode((4,), "float32", 0, 2, Values(np.float32([0.5])), Symbols(np.array([0, 1]), 2))
    >>> code.decompress()
    array([ 22397.5, -19653. ,  25115. ,  17666.5], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    seed: int
    length: int
    scale: Values
    indices: Symbols

    def integers(self) -> np.ndarray:
        """Return z of each weight in row-major order, int64, shape (size,)."""
        drawn = np.empty(self.size, np.int64)
        order = order_of(self.seed, self.size)
        for first in range(0, self.size, _AT_ONCE):
            here = order[first : first + _AT_ONCE]
            drawn[here] = self._drawn(first, len(here))
        return drawn

    def decompress(self) -> np.ndarray:
        """Draw the vectors, multiply and put each weight in its place, some at a time."""
        weights = np.empty(self.size, dtype_of(self.dtype))
        order = order_of(self.seed, self.size)
        with np.errstate(invalid="ignore", over="ignore"):
            scale = self.scale.array.astype(np.float64)
            for first in range(0, self.size, _AT_ONCE):
                here = order[first : first + _AT_ONCE]
                weights[here] = rounded(self._drawn(first, len(here)) * scale, self.dtype)
        return weights.reshape(self.shape)

    def _drawn(self, first: int, count: int) -> np.ndarray:
        """Return z of so many weights of the seeded order from ``first`` on."""
        block, element = np.divmod(np.arange(first, first + count), self.length)
        counters = self.indices.array[block].astype(np.uint64) * np.uint64(self.length) + element.astype(np.uint64)
        return normals(self.seed, counters)

    def streams(self) -> Mapping[str, Part]:
        """Return scale and indices."""
        return {"scale": self.scale, "indices": self.indices}

    def facts(self) -> tuple[int, ...]:
        """Return seed and length."""
        return self.seed, self.length

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "DrawnCode":
        """Invert `streams`."""
        scale, indices = part(streams, "scale", Values), part(streams, "indices", Symbols)
        require(
            len(facts) == 2 and facts[0] < 1 << 32, f"facts {facts} of a drawn code, a seed below 2^32 and a length"
        )
        code = cls(shape, dtype, facts[0], facts[1], scale, indices)
        require(1 <= code.length <= max(code.size, 1), f"blocks of {code.length} of {code.size} elements")
        kinds = {dtype, scale.array.dtype.name}
        require(kinds <= set(FLOATS), f"a scale of {scale.array.dtype.name} for a tensor of {dtype}")
        require(len(scale) == 1, f"{len(scale)} scales of a drawn code, where there is one")
        blocks = -(-code.size // code.length)
        require(len(indices) == blocks, f"{len(indices)} indices for {blocks} blocks")
        return code

    def check(self) -> None:
        """Find nothing: `from_streams` has seen all."""

    def labels(self) -> np.ndarray:
        """Return the index of each weight's block, from 1 up: no weight is pruned."""
        labels = np.empty(self.size, np.int64)
        labels[order_of(self.seed, self.size)] = np.repeat(self.indices.array.astype(np.int64) + 1, self.length)[
            : self.size
        ]
        return labels
