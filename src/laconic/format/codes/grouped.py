"""Weights that take an entry of a codebook, in groups with a scale or a codebook of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.rounding import rounded
from laconic.format.codes.streams import Symbols, Values
from laconic.format.coding import FLOATS, dtype_of

_AT_ONCE = 1 << 20
"""Elements that are looked up at once: in float64 they take more memory than the tensor."""


@final
@dataclass(frozen=True, eq=False)
class GroupedCode(Code):
    """Δ(Θ)_i = c_{κ(i)} · a_g, or c_{g, κ(i)}: the product in float64, rounded once to the tensor's dtype.

    Groups are runs of consecutive weights in row-major order, the last one perhaps shorter. What belongs to a group, a
    scale or a codebook, is learned; a codebook that belongs to none is given, and fine-tuning leaves it as it is.

    Args:
        shape: shape of the tensor.
        dtype: its element type.
        length: weights a group, fewer than the tensor has; 0 for one group.
        own: whether each group has a codebook of its own.
        codebook: K entries, or K for each group, one group after the other.
        scales: a, one for each group, or none at all.
        indices: κ, one symbol of ``range(K)`` for each weight in row-major order.

    >>> scales, indices = Values(np.float32([2, 5])), Symbols(np.array([0, 1, 1, 1]), 2)
    >>> GroupedCode((4,), "float32", 2, False, Values(np.float32([-1, 1])), scales, indices).decompress()
    array([-2.,  2.,  5.,  5.], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    length: int
    own: bool
    codebook: Values
    scales: Values
    indices: Symbols

    @property
    def groups(self) -> int:
        """Number of groups."""
        return -(-self.size // self.length) if self.length else 1

    def decompress(self) -> np.ndarray:
        """Look every index up, and multiply."""
        weights = np.empty(self.size, dtype_of(self.dtype))
        with np.errstate(invalid="ignore"):  # a signalling NaN
            entries, scales = (part.array.astype(np.float64) for part in (self.codebook, self.scales))
        for first in range(0, self.size, _AT_ONCE):
            indices = self.indices.array[first : first + _AT_ONCE]
            group = np.arange(first, first + len(indices)) // self.length if self.length else 0
            values = np.take(entries, group * self.indices.alphabet + indices if self.own else indices)
            with np.errstate(over="ignore", invalid="ignore"):
                product = values * scales[group] if len(scales) else values
            weights[first : first + len(indices)] = rounded(product, self.dtype)
        return weights.reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return codebook, scales and indices."""
        return {"codebook": self.codebook, "scales": self.scales, "indices": self.indices}

    def facts(self) -> tuple[int, ...]:
        """Return the length of a group, and 1 where each has a codebook of its own."""
        return self.length, int(self.own)

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "GroupedCode":
        """Invert `streams`."""
        codebook, scales = part(streams, "codebook", Values), part(streams, "scales", Values)
        indices = part(streams, "indices", Symbols)
        require(len(facts) == 2 and facts[1] < 2, f"facts {facts} of a grouped code")
        code = cls(shape, dtype, facts[0], facts[1] == 1, codebook, scales, indices)
        require(code.length == 0 or code.length < code.size, f"groups of {code.length} of {code.size} elements")
        require(len(indices) == code.size, f"{len(indices)} indices for {code.size} elements")
        kinds = {dtype, codebook.array.dtype.name, scales.array.dtype.name}
        require(kinds <= set(FLOATS), f"a grouped code of {', '.join(sorted(kinds))}, where all are floats")
        require(len(scales) in (0, code.groups), f"{len(scales)} scales for {code.groups} groups")
        entries = indices.alphabet * (code.groups if code.own else 1)
        require(len(codebook) == entries, f"{len(codebook)} entries in the codebook, where {entries} are told")
        return code

    def check(self) -> None:
        """Find nothing: `from_streams` has seen all."""

    def labels(self) -> np.ndarray:
        """Return the assignment κ, from 1 up: no weight is pruned."""
        return self.indices.array.astype(np.int64) + 1
