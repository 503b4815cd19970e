"""What the error of each column is to those that come after it, and an order by what it costs.

    (w − ŵ) H (w − ŵ)ᵀ = Σ_j u_j² (Σ_{i≤j} e_i G_ij)²,     e = w − ŵ,     H = U Uᵀ,   u_j = U_jj,   G_ij = U_ij / u_j

with U upper triangular: a column that comes first is charged for what its error costs when all later ones make up for
it. O(n³).

Source: the Cholesky factor of the inverse in Frantar et al., "GPTQ" (ICLR 2023), which for H itself is Babai's nearest
plane (Chen et al., arXiv:2507.18553).
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.coding.model import MAX_CLASSES

PER_OCTAVE = 4
"""Classes of u in each factor of 2."""

_BLOCK = 1024
"""Columns that LAPACK factors at a time."""

_ROUNDS = 4

_STILL = 1 / 64
"""Of the columns: no more than so many come to another class, and the order is found."""


@final
@dataclass(frozen=True, eq=False)
class Factor:
    """The columns of a second moment in an order by u.

    Args:
        classes: of each column, 0 for what comes first; within a class columns are in their own order.
        scales: u of each column in this order, or in one that is all but the same, shape (n,).
    """

    classes: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, moments: np.ndarray, *, strongest: bool = False) -> "Factor":
        """Return the order by u, the smallest first or the largest.

        The order itself makes u: a few rounds from the diagonal on find one of the smallest first.

        Args:
            moments: H, shape (n, n), positive definite.
            strongest: whether the column with the largest second moment comes first.

        >>> Factor.of(np.diag([4.0, 1.0, 9.0])).classes.tolist()
        [1, 0, 2]
        """
        scales = np.sqrt(np.diag(moments))
        marks = _marks(scales)
        if strongest:
            return cls(_ranks(-marks), ordered(moments, -marks))
        for _ in range(_ROUNDS):
            scales, before = ordered(moments, marks), marks
            marks = _marks(scales)
            if np.count_nonzero(marks != before) <= _STILL * len(marks):
                break
        return cls(_ranks(marks), scales)


def factored(moments: np.ndarray, *, strongest: bool) -> tuple[np.ndarray, Factor]:
    """Return moments that have a Cholesky factor, whatever rounding has done to them, and it."""
    try:
        return moments, Factor.of(moments, strongest=strongest)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(moments)
        clipped = vectors * np.maximum(values, 1e-6 * values[-1]) @ vectors.T
        clipped = (clipped + clipped.T) / 2
        return clipped, Factor.of(clipped, strongest=strongest)


def ordered(moments: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return u of each column where they come by their marks, the least first."""
    places = np.argsort(marks, kind="stable")
    scales = np.empty(len(marks))
    scales[places] = np.diag(upper(moments[np.ix_(places, places)]))
    return scales


def upper(moments: np.ndarray) -> np.ndarray:
    """Return U, upper triangular, with U Uᵀ = ``moments``, in their place, so that one matrix is held: O(n³).

    The last columns come first; what is before them loses their share, in products, which threads are good at.

    >>> upper(np.array([[2.0, 1.0], [1.0, 1.0]]))
    array([[1., 1.],
           [0., 1.]])
    """
    for end in range(len(moments), 0, -_BLOCK):
        start = max(0, end - _BLOCK)
        own, above, before = moments[start:end, start:end], moments[:start, start:end], moments[:start, :start]
        own[:] = np.linalg.cholesky(own[::-1, ::-1])[::-1, ::-1]
        above[:] = np.linalg.solve(own, above.T).T
        moments[start:end, :start] = 0.0
        for row in range(0, start, _BLOCK):
            before[row : row + _BLOCK, row:] -= above[row : row + _BLOCK] @ above[row:].T
    return moments


def compacted(matrix: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return some rows, and of these the same columns, in the place of the whole matrix, which is no more then.

    Args:
        matrix: shape (n, n), contiguous, or its transpose is.
        kept: their places, ascending, shape (k,).
    """
    if not matrix.flags.c_contiguous:
        return compacted(matrix.T, kept).T
    flat, k = matrix.reshape(-1), len(kept)
    for place, row in enumerate(kept):  # no row is written over before it is read
        flat[place * k : (place + 1) * k] = matrix[row, kept]
    return flat[: k * k].reshape(k, k)


def scattered(matrix: np.ndarray, kept: np.ndarray) -> None:
    """Invert `compacted`: what stands at the beginning of a matrix comes to its places, and all others are 0."""
    k = len(kept)
    small, place = matrix.reshape(-1)[: k * k].reshape(k, k), k - 1
    for row in range(len(matrix) - 1, -1, -1):
        own = small[place].copy() if place >= 0 and kept[place] == row else None
        matrix[row] = 0.0
        if own is not None:
            matrix[row, kept] = own
            place -= 1


def _ranks(marks: np.ndarray) -> np.ndarray:
    """Return the place of each mark among those that occur."""
    return np.unique(marks, return_inverse=True)[1].astype(np.int64)


def _marks(scales: np.ndarray) -> np.ndarray:
    """Return the scales in classes of an octave's fraction, no more than a file has."""
    marks = np.rint(PER_OCTAVE * np.log2(scales)).astype(np.int64)
    return np.asarray(np.maximum(marks, int(marks.max(initial=0)) - (MAX_CLASSES - 2)))
