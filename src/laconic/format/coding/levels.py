"""Signed integers of any size as symbols of an alphabet of 256, with raw bits behind the large ones.

A level v is a multiple of the step. Without a trellis every v may occur; with one, its state says whether v is even
or odd. u counts the magnitudes that may occur: |v|; |v|/2 of an even v; (|v| − 1)/2 of an odd one. Below 16 each u is
a *size* m of its own; above, each octave [2^e, 2^(e+1)) is four sizes, and e − 2 raw bits say which u of its size it
is. The symbol y is the size with its sign: 2m − [v > 0] where 0 may occur, 2m + [v < 0] of odd v. So no level is too
large, and what is rare needs no escape.
"""

import numpy as np

DIRECT = 16
"""Magnitudes below this are sizes of their own."""

SIZES = 128
"""Sizes there are: u stays below 2³²."""

ALPHABET = 2 * SIZES
"""Symbols there are, at most."""

LARGEST = 1 << 32
"""The magnitude u of every level stays below."""


def size_of(u: np.ndarray) -> np.ndarray:
    """Return the size m of each magnitude u (int64, 0 ≤ u < 2³²).

    >>> size_of(np.array([0, 15, 16, 19, 20, 32, 2**32 - 1]))
    array([  0,  15,  16,  16,  17,  20, 127])
    """
    exponent = np.frexp(np.maximum(u, 1).astype(np.float64))[1].astype(np.int64) - 1
    octave = np.maximum(exponent - 2, 0)
    return np.where(u < DIRECT, u, DIRECT + 4 * (exponent - 4) + (u >> octave) - 4)


def raw_bits(m: np.ndarray) -> np.ndarray:
    """Return how many raw bits follow a symbol of size m.

    >>> raw_bits(np.array([15, 16, 20, 127]))
    array([ 0,  2,  3, 29])
    """
    return np.where(m < DIRECT, 0, (m - DIRECT) // 4 + 2)


def centre_of(m: np.ndarray) -> np.ndarray:
    """Return twice the mean magnitude of size m, an integer.

    >>> centre_of(np.array([3, 16]))
    array([ 6, 35])
    """
    bits = raw_bits(m)
    first: np.ndarray = np.where(m < DIRECT, m, (4 + (m - DIRECT) % 4) << bits)
    twice: np.ndarray = 2 * first + (np.int64(1) << bits) - 1
    return twice


def sizes_of(levels: np.ndarray, *, trellis: bool) -> np.ndarray:
    """Return the size of each level, int64.

    >>> sizes_of(np.array([-3, -2, 0, 1, 4]), trellis=True)
    array([1, 1, 0, 0, 2])
    """
    u = np.abs(levels)
    return size_of(u >> 1 if trellis else u)


def level_of(symbols: np.ndarray, *, odd: bool, trellis: bool) -> np.ndarray:
    """Return the level of each symbol whose size is below `DIRECT`; what is returned for others means nothing.

    Args:
        symbols: y, int64.
        odd: whether they stand for odd levels.
        trellis: whether u is half the magnitude.

    >>> level_of(np.arange(4), odd=False, trellis=False), level_of(np.arange(4), odd=True, trellis=True)
    (array([ 0,  1, -1,  2]), array([ 1, -1,  3, -3]))
    """
    u = (symbols + (not odd)) >> 1
    negative = (symbols & 1) ^ (not odd)
    magnitude = 2 * u + odd if trellis else u
    return np.where(negative, -magnitude, magnitude)


def tallied(levels: np.ndarray, classes: np.ndarray, many: int, *, trellis: bool) -> np.ndarray:
    """Return how often each size occurs in each class and of each parity, int64, shape (many, parities, 128).

    Args:
        levels: int64, shape (n,).
        classes: of each level, shape (n,).
        many: classes there are.
        trellis: whether even and odd levels have sizes of their own; else there is one parity.

    >>> tallied(np.array([0, 2, 1]), np.array([0, 0, 1]), 2, trellis=True)[:, :, :2].tolist()
    [[[1, 1], [0, 0]], [[0, 0], [1, 0]]]
    """
    parities = 2 if trellis else 1
    places = (classes.astype(np.int64) * parities + (levels & 1 if trellis else 0)) * SIZES
    places += sizes_of(levels, trellis=trellis)
    counts: np.ndarray = np.bincount(places, minlength=many * parities * SIZES).reshape(many, parities, SIZES)
    return counts
