"""Weights that share K values: a codebook and one index a weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.rounding import rounded
from laconic.format.codes.streams import Symbols, Values
from laconic.format.coding import FLOATS

_AT_ONCE = 1 << 16
"""Indices that are looked up at once: NumPy makes eight bytes of each."""


@final
@dataclass(frozen=True, eq=False)
class CodebookCode(Code):
    """Δ(Θ)_i = c_{κ(i)}: the codebook's entry, rounded once to the tensor's dtype.

    Args:
        shape: shape of the tensor.
        dtype: its element type.
        codebook: the K entries; several codes may hold the same object, which the file then stores once.
        indices: κ, one symbol of ``range(K)`` for each weight in row-major order.

    >>> code = CodebookCode((2, 2), "float32", Values(np.float32([-1, 1])), Symbols(np.array([0, 1, 1, 1]), 2))
    >>> code.decompress()
    array([[-1.,  1.],
           [ 1.,  1.]], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    codebook: Values
    indices: Symbols

    def decompress(self) -> np.ndarray:
        """Look every index up."""
        entries = rounded(self.codebook.array, self.dtype)
        weights = np.empty(self.size, entries.dtype)
        for first in range(0, self.size, _AT_ONCE):
            indices = self.indices.array[first : first + _AT_ONCE]
            np.take(entries, indices, out=weights[first : first + _AT_ONCE], mode="clip")  # which checks the least
        return weights.reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return codebook and indices."""
        return {"codebook": self.codebook, "indices": self.indices}

    def facts(self) -> tuple[int, ...]:
        """Return nothing: K is the length of the codebook."""
        return ()

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "CodebookCode":
        """Invert `streams`."""
        codebook, indices = part(streams, "codebook", Values), part(streams, "indices", Symbols)
        code = cls(shape, dtype, codebook, indices)
        require(len(indices) == code.size, f"{len(indices)} indices for {code.size} elements")
        exact = {dtype, codebook.array.dtype.name} <= set(FLOATS) or codebook.array.dtype.name == dtype
        require(exact, f"a codebook of {codebook.array.dtype} for a tensor of {dtype}")
        require(indices.alphabet == len(codebook), f"alphabet {indices.alphabet}, codebook {len(codebook)}")
        return code

    def check(self) -> None:
        """Find nothing: `from_streams` has seen all."""

    def labels(self) -> np.ndarray:
        """Return the assignment κ, from 1 up: no weight is pruned."""
        return self.indices.array.astype(np.int64) + 1
