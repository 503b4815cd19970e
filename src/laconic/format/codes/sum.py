"""Weights that are a sum: quantized plus a few corrections, low rank plus sparse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.rounding import rounded
from laconic.format.coding import FLOATS, dtype_of

MOST = 8
"""Parts of a sum at most; the least is two."""

_AT_ONCE = 1 << 20
"""Elements that are summed at once: in float64 they take more memory than the parts."""


def total(parts: Sequence[np.ndarray], dtype: str) -> np.ndarray:
    """Return the sum of float arrays of one shape: in float64 from +0, left to right, rounded once to ``dtype``.

    >>> total([np.float32([1e8]), np.float32([0.5]), np.float32([-1e8])], "float32")
    array([0.5], dtype=float32)
    """
    shape = parts[0].shape
    flat = [array.reshape(-1) for array in parts]
    out = np.empty(flat[0].size, dtype_of(dtype))
    for first in range(0, out.size, _AT_ONCE):
        piece = slice(first, first + _AT_ONCE)
        sums = np.zeros(len(out[piece]))
        with np.errstate(over="ignore", invalid="ignore"):
            for array in flat:
                sums += array[piece].astype(np.float64)
        out[piece] = rounded(sums, dtype)
    return out.reshape(shape)


@final
@dataclass(frozen=True, eq=False)
class SumCode(Code):
    """Δ(Θ) = Σ_j Δ_j(Θ_j): two to eight codes of the tensor's shape, added up.

    Each element is a sum in float64 that starts at +0 and adds the parts from left to right, and is rounded once to
    the tensor's dtype: the same bits on every machine. Parts may be of any type of floats, wider than the tensor's
    too; all of these float64 holds.

    Args:
        shape: shape of the tensor.
        dtype: its element type, a float.
        terms: the codes that are summed.

    >>> from laconic.format.codes import DenseCode
    >>> SumCode((2,), "float32", (DenseCode.of(np.float32([1, 2])), DenseCode.of(np.float64([0, 0.5])))).decompress()
    array([1. , 2.5], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    terms: tuple[Code, ...]

    def decompress(self) -> np.ndarray:
        """Add the parts up."""
        return total([term.decompress() for term in self.terms], self.dtype)

    def streams(self) -> Mapping[str, Part]:
        """Return the parts."""
        return dict(zip(self.parts(self.facts()), self.terms, strict=True))

    def facts(self) -> tuple[int, ...]:
        """Return the number of parts."""
        return (len(self.terms),)

    @classmethod
    def parts(cls, facts: tuple[int, ...]) -> Mapping[str, type[Part]]:
        """Return as many nested codes as the fact says."""
        require(len(facts) == 1 and 2 <= facts[0] <= MOST, f"a sum of {facts} parts, 2 to {MOST} expected")
        return {f"part {number}": Code for number in range(1, facts[0] + 1)}

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "SumCode":
        """Invert `streams`."""
        terms = tuple(part(streams, name, Code) for name in cls.parts(facts))
        for term in terms:
            require(term.shape == shape, f"a part of shape {term.shape} in a sum of shape {shape}")
            require({dtype, term.dtype} <= set(FLOATS), f"a part of {term.dtype} in a sum of {dtype}")
        return cls(shape, dtype, terms)

    def check(self) -> None:
        """Check the parts."""
        for term in self.terms:
            term.check()

    def labels(self) -> np.ndarray | None:
        """Return one number for the choices of all parts: 0 where each pruned the weight; None where none chooses."""
        parts = [labels for term in self.terms if (labels := term.labels()) is not None]
        if not parts:
            return None
        label = np.zeros(self.size, np.int64)
        for labels in parts:  # wraps around for codebooks of billions
            label = label * (1 << 20) + labels
        return label
