"""A tensor as a sum of outer products of vectors (CP, canonical polyadic)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.low_rank import AT_ONCE
from laconic.format.codes.rounding import rounded
from laconic.format.coding import FLOATS, dtype_of


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
        """Add the terms up."""
        with np.errstate(invalid="ignore"):  # a signalling NaN
            stacked = self.factors.decompress().astype(np.float64)
        first, *others = np.split(stacked, np.cumsum(self.shape)[:-1])
        tensor = np.zeros(self.shape, dtype_of(self.dtype))
        rows = max(1, AT_ONCE // max(1, math.prod(self.shape[1:])))
        for at in range(0, self.shape[0] if tensor.size else 0, rows):
            total = np.zeros((len(first[at : at + rows]), *self.shape[1:]))
            with np.errstate(over="ignore", invalid="ignore"):
                for k in range(stacked.shape[1]):
                    term = first[at : at + rows, k]
                    for matrix in others:
                        term = np.multiply.outer(term, matrix[:, k])
                    total += term
            tensor[at : at + rows] = rounded(total, self.dtype)
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
