"""A matrix as the product of two thin ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.products import multiply
from laconic.format.coding import FLOATS, dtype_of

VIEWS = ("out|in.kh.kw", "out.kh|in.kw", "out.kw|in.kh")
"""How a tensor is read as a matrix, rows before the bar; the position in this tuple is the number in the file."""


def matrix_shape(shape: tuple[int, ...], view: str) -> tuple[int, int]:
    """Return (rows, columns) of a tensor of ``shape`` read through ``view``.

    ``out|in.kh.kw`` takes any tensor with two or more axes, the others only kernels with four. (Idelbayev &
    Carreira-Perpiñán, CVPR 2020: schemes 1 and 2.) The product of the second is a row of convolutions (1 × kw, in → r)
    and then a column (kh × 1, r → out); that of the third is a column and then a row.

    >>> matrix_shape((6, 3, 5, 5), "out.kh|in.kw")
    (30, 15)
    """
    if view == VIEWS[0]:
        return shape[0], math.prod(shape[1:])
    out, in_, kh, kw = shape
    return (out * kh, in_ * kw) if view == VIEWS[1] else (out * kw, in_ * kh)


def from_matrix(matrix: np.ndarray, shape: tuple[int, ...], view: str) -> np.ndarray:
    """Return ``matrix``, the ``view`` of a tensor of ``shape``, as that tensor."""
    if view == VIEWS[0]:
        return matrix.reshape(shape)
    out, in_, kh, kw = shape
    if view == VIEWS[1]:
        return np.ascontiguousarray(matrix.reshape(out, kh, in_, kw).transpose(0, 2, 1, 3))
    return np.ascontiguousarray(matrix.reshape(out, kw, in_, kh).transpose(0, 2, 3, 1))


@final
@dataclass(frozen=True, eq=False)
class LowRankCode(Code):
    """Δ(Θ) = L R, with L of shape (rows, r) and R of shape (r, columns).

    The product is summed in float64 over the rank index, from left to right, one multiplication and one addition
    at a time, and rounded once to the tensor's dtype: the same bits on every machine.

    Args:
        shape: shape of the tensor.
        dtype: its element type.
        view: how the tensor is a matrix, one of `VIEWS`.
        left: code of L.
        right: code of R.
    """

    shape: tuple[int, ...]
    dtype: str
    view: str
    left: Code
    right: Code

    @property
    def rank(self) -> int:
        """Number of columns of L."""
        return self.left.shape[1]

    def decompress(self) -> np.ndarray:
        """Multiply the factors."""
        left, right = self.left.decompress(), self.right.decompress()
        matrix = np.zeros((left.shape[0], right.shape[1]), dtype_of(self.dtype))
        multiply(left, right, matrix)
        return from_matrix(matrix, self.shape, self.view)

    def streams(self) -> Mapping[str, Part]:
        """Return the codes of the two factors."""
        return {"left": self.left, "right": self.right}

    def facts(self) -> tuple[int, ...]:
        """Return the number of the view."""
        return (VIEWS.index(self.view),)

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "LowRankCode":
        """Invert `streams`."""
        left, right = part(streams, "left", Code), part(streams, "right", Code)
        require(dtype in FLOATS, f"a product of matrices for a tensor of {dtype}")
        require(len(facts) == 1 and facts[0] < len(VIEWS), f"unknown view {facts}")
        view = VIEWS[facts[0]]
        require(len(shape) >= 2 if facts[0] == 0 else len(shape) == 4, f"view {view} of shape {shape}")
        require(len(left.shape) == len(right.shape) == 2, "factors are matrices")
        rows, columns = matrix_shape(shape, view)
        fits = left.shape[0] == rows and right.shape[1] == columns and left.shape[1] == right.shape[0]
        require(fits, f"factors {left.shape} and {right.shape} for a {rows} x {columns} matrix")
        require(right.shape[0] <= min(rows, columns), f"rank {right.shape[0]} of a {rows} x {columns} matrix")
        return cls(shape, dtype, view, left, right)

    def check(self) -> None:
        """Check both factors."""
        self.left.check()
        self.right.check()

    def labels(self) -> None:
        """Return None: nothing discrete is chosen for a single weight."""
        return None
