"""The product of two matrices, to the same bits everywhere: in float64, from left to right over the rank index."""

import numpy as np

from laconic.compiled import COMPILED, compiled
from laconic.format.codes.rounding import rounded
from laconic.format.coding.dtypes import FOREIGN

ROWS, COLUMNS = 128, 256
"""Of a tile: eight rows of the right factor and one of the sums stay in the nearest cache."""

_AREA = ROWS * COLUMNS
_LEAST_TERMS = 16  # that are added to a tile at once


def multiply(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with L R: each element a sum from +0 in float64, from left to right, rounded once to its dtype.

    Tiles bound what is in memory as float64, and do not change the order of any sum.

    Args:
        left: L, shape (rows, r), of any dtype whose numbers float64 holds.
        right: R, shape (r, columns), likewise.
        out: shape (rows, columns), of a float dtype, in any order in memory.

    >>> out = np.empty((2, 1), np.float32)
    >>> multiply(np.array([[1, 2], [3, 4]]), np.array([[10], [1]]), out)
    >>> out.tolist()
    [[12.0], [34.0]]
    """
    rows, columns = out.shape
    if columns < min(rows, COLUMNS):  # rows of a tile are what is added at once: the long side
        multiply(right.T, left.T, out.T)
        return
    wide = COLUMNS * max(1, ROWS // max(1, rows))
    for i in range(0, rows, ROWS):
        for j in range(0, columns, wide):
            sums = _tile(left[i : i + ROWS], right[:, j : j + wide])
            out[i : i + ROWS, j : j + wide] = rounded(sums, out.dtype.name)


def _tile(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the sums of one tile in float64, some terms at a time."""
    sums = np.zeros((left.shape[0], right.shape[1]))
    terms = max(_LEAST_TERMS, _AREA // sums.shape[1])
    add = _add if COMPILED else add_vectors
    with np.errstate(invalid="ignore"):  # a signalling NaN
        for k in range(0, left.shape[1], terms):
            add(_doubles(left[:, k : k + terms]), _doubles(right[k : k + terms]), sums)
    return sums


def _doubles(numbers: np.ndarray) -> np.ndarray:
    """Return ``numbers`` as float64, contiguous and of its own memory; 8-bit floats are looked up, which is faster."""
    if numbers.dtype.name not in FOREIGN or numbers.itemsize > 1:
        return numbers.astype(np.float64, order="C")
    table = np.arange(256, dtype=np.uint8).view(numbers.dtype).astype(np.float64)
    return table[np.ascontiguousarray(numbers).view(np.uint8)]


def add_vectors(left: np.ndarray, right: np.ndarray, sums: np.ndarray) -> None:
    """Add L R to ``sums``, one term of the rank index after the other, without a compiler."""
    term = np.empty_like(sums)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(left.shape[1]):
            np.multiply.outer(left[:, k], right[k], out=term)
            sums += term


@compiled
def _add(left: np.ndarray, right: np.ndarray, sums: np.ndarray) -> None:
    """Do what `add_vectors` does, eight terms a pass: no sum is reordered, and without fastmath nothing is fused."""
    rows, few = left.shape
    whole = few - few % 8
    for k in range(0, whole, 8):
        r0, r1, r2, r3 = right[k], right[k + 1], right[k + 2], right[k + 3]
        r4, r5, r6, r7 = right[k + 4], right[k + 5], right[k + 6], right[k + 7]
        for i in range(rows):
            a0, a1, a2, a3 = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
            a4, a5, a6, a7 = left[i, k + 4], left[i, k + 5], left[i, k + 6], left[i, k + 7]
            row = sums[i]
            for j in range(len(row)):
                x = (((row[j] + a0 * r0[j]) + a1 * r1[j]) + a2 * r2[j]) + a3 * r3[j]
                row[j] = (((x + a4 * r4[j]) + a5 * r5[j]) + a6 * r6[j]) + a7 * r7[j]
    for k in range(whole, few):
        one = right[k]
        for i in range(rows):
            a, row = left[i, k], sums[i]
            for j in range(len(row)):
                row[j] += a * one[j]
