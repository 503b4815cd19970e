"""Integers that look random and are the same on every machine: groups, orders and nearly normal numbers by a hash.

    H(x): x ← (x ⊕ x >> 30) · BF58476D1CE4E5B9, x ← (x ⊕ x >> 27) · 94D049BB133111EB, x ⊕ x >> 31,  all modulo 2⁶⁴

It is counter-based: any number is found without those before it. No floating-point number is in it.

Source: Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014): SplitMix64's finalizer.
"""

import numpy as np

NORMAL_DEVIATION = (8 * (2.0**32 - 1) / 12) ** 0.5
"""The standard deviation of `normals`: each is a sum of eight integers that are uniform below 2¹⁶."""

_HALVES = np.uint64(0x0000FFFF0000FFFF)
_MEAN = 4 * 65535
_APART = 1 << 32  # seeds are below it: orders and normals of one seed have nothing in common


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Return H of each number, uint64.

    >>> [hex(x) for x in mixed(np.array([1, 2], np.uint64)).tolist()]
    ['0x5692161d100b05e5', '0xdbd238973a2b148a']
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)))


def counted(start: int, first: int, count: int) -> np.ndarray:
    """Return start + first, start + first + 1, … modulo 2⁶⁴, uint64, shape (count,)."""
    return np.arange(count, dtype=np.uint64) + np.uint64((start + first) % (1 << 64))


def groups_of(key: int, groups: int, first: int, count: int) -> np.ndarray:
    """Return the group of each of ``count`` positions from ``first`` on, int64: ⌊(H(2³² key + i) >> 32) groups / 2³²⌋.

    Args:
        key: below 2³².
        groups: how many, 1 to 2³².
        first: position.
        count: of positions.
    """
    high = mixed(counted(key << 32, first, count)) >> np.uint64(32)
    return (high * np.uint64(groups) >> np.uint64(32)).astype(np.int64)


def order_of(seed: int, size: int) -> np.ndarray:
    """Return a permutation of range(size), int64: positions i by H(H(seed) + i), the smallest first, equals by i.

    >>> order_of(0, 5).tolist()
    [0, 3, 1, 4, 2]
    """
    start = int(mixed(np.array([seed], np.uint64))[0])
    return np.argsort(mixed(counted(start, 0, size)), kind="stable")


def normals(seed: int, counters: np.ndarray) -> np.ndarray:
    """Return for each counter an integer that is nearly normal, of mean 0, int64: −262140 to 262140.

    It is the sum of the eight 16-bit parts of H(s + 2c) and H(s + 2c + 1), s = H(seed + 2³²), less 262140.

    Args:
        seed: below 2³².
        counters: uint64.

    >>> normals(0, np.arange(4, dtype=np.uint64)).tolist()
    [44795, 35333, -39306, 50230]
    """
    start = mixed(np.array([seed + _APART], np.uint64))
    twice = counters * np.uint64(2) + start
    sums = np.zeros(len(counters), np.uint64)
    for one in (mixed(twice), mixed(twice + np.uint64(1))):
        sums += (one & _HALVES) + (one >> np.uint64(16) & _HALVES)
    total = (sums & np.uint64(0xFFFFFFFF)) + (sums >> np.uint64(32))
    return total.astype(np.int64) - _MEAN
