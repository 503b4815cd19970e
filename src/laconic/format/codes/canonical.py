"""A tensor as a sum of outer products of vectors (CP, canonical polyadic)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.products import multiply
from laconic.format.coding import FLOATS, dtype_of

_AT_ONCE = 1 << 18
"""Products of factors that are in memory."""


@final
@dataclass(frozen=True, eq=False)
class CanonicalCode(Code):
    """Δ(Θ)[i, j, …] = Σ_k A[i, k] B[j, k] …, one matrix for each axis.

    In float64: products and sums from left to right, rounded once to the dtype.

    Args:
        shape: shape of the tensor, of two axes or more.
        dtype: its element type.
        factors: code of the matrices, one below the other: shape (sum of the dimensions, number of terms).
    """

    shape: tuple[int, ...]
    dtype: str
    factors: Code

    def decompress(self) -> np.ndarray:
        """Multiply the factors of all axes but the last, some places at a time, and the result and the last one."""
        tensor = np.zeros(self.shape, dtype_of(self.dtype))
        if not tensor.size:
            return tensor
        *firsts, last = np.split(self.factors.decompress(), np.cumsum(self.shape)[:-1])
        matrix = tensor.reshape(-1, self.shape[-1])
        places = max(1, _AT_ONCE // max(last.shape[1], len(self.shape)))
        for at in range(0, len(matrix), places):
            part = matrix[at : at + places]
            multiply(_products(firsts, at, at + len(part)), last.T, part)
        return tensor

    def streams(self) -> Mapping[str, Part]:
        """Return the code of the factors."""
        return {"factors": self.factors}

    def facts(self) -> tuple[int, ...]:
        """Return nothing: the shape of the factors says all."""
        return ()

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "CanonicalCode":
        """Invert `streams`."""
        factors = part(streams, "factors", Code)
        require(dtype in FLOATS, f"a sum of products for a tensor of {dtype}")
        require(len(shape) >= 2 and len(factors.shape) == 2, f"factors {factors.shape} of a tensor {shape}")
        require(factors.shape[0] == sum(shape), f"factors of {factors.shape[0]} rows for a tensor {shape}")
        most = most_terms(shape)
        require(factors.shape[1] <= most, f"{factors.shape[1]} terms for a tensor {shape}, of which {most} are enough")
        return cls(shape, dtype, factors)

    def check(self) -> None:
        """Check the factors."""
        self.factors.check()

    def labels(self) -> None:
        """Return None: nothing discrete is chosen for a single weight."""
        return None


def most_terms(shape: tuple[int, ...]) -> int:
    """Return how many terms any tensor of ``shape`` can be written in: the product of all but the largest dimension."""
    return math.prod(shape) // max(*shape, 1)


def _products(factors: list[np.ndarray], first: int, end: int) -> np.ndarray:
    """Return (A[i, k] · B[j, k]) · … in float64 for the places ``first`` to ``end`` of (i, j, …), row-major.

    Shape (end - first, number of terms).
    """
    indices = np.unravel_index(np.arange(first, end), tuple(map(len, factors)))
    with np.errstate(over="ignore", invalid="ignore"):
        products = factors[0][indices[0]].astype(np.float64)
        for factor, index in zip(factors[1:], indices[1:], strict=True):
            products *= factor[index].astype(np.float64)
    return products
