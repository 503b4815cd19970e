"""Two levels as one symbol: half as many steps for a decoder, for a little more bits.

The symbol of a pair is 15 y₁ + y₂ of two levels between −7 and 7, or 255, after which the two are told one by one.
"""

import numpy as np

from laconic.format.coding.levels import ALPHABET
from laconic.format.coding.model import PRECISION, TOTAL

NEAR = 7
"""Levels of a pair are −7 to 7."""

SIDE = 2 * NEAR + 1
"""Symbols that each of a pair may have."""

ESCAPE = 255
"""The symbol of a pair with a larger level."""

_WORTH = TOTAL * 127 // 128  # of a table's sum, to be within the pairs


def paired(single: np.ndarray) -> np.ndarray:
    """Return the frequencies of pairs by those of single levels, shape (256,), int64, sum 2¹²; or zeros.

    A pair has max(1, round(f₁ f₂ / 2¹²)) where both occur, the escape max(1, 2¹² − round(F² / 2¹²)), F the sum of the
    frequencies of the 15; what the sum lacks, the largest (first of equals) gets, and what is too much is taken off
    the largest, one by one. Zeros, and no pairs, where F is below 127/128 of 2¹²: escapes cost too much.

    >>> paired(np.array([2048, 1024, 1024] + [0] * 253))[[0, 1, 16, 255]]
    array([1023,  512,  256,    1])
    """
    frequencies = np.zeros(ALPHABET, np.int64)
    small = single[:SIDE]
    whole = int(small.sum())
    if whole < _WORTH:
        return frequencies
    products = np.outer(small, small).reshape(-1)
    frequencies[: SIDE * SIDE] = np.where(products > 0, np.maximum(1, (products + TOTAL // 2) >> PRECISION), 0)
    frequencies[ESCAPE] = max(1, TOTAL - ((whole * whole + TOTAL // 2) >> PRECISION))
    missing = TOTAL - int(frequencies.sum())
    largest = int(np.argmax(frequencies[:ESCAPE]))
    frequencies[largest] += max(missing, 0)
    for _ in range(-missing):
        frequencies[int(np.argmax(frequencies[:ESCAPE]))] -= 1
    return frequencies
