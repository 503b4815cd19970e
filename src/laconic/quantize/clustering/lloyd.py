"""Lloyd's iteration on sorted values.

    κ(i) = argmin_j |w_i − c_j|,    c_j = Σ_{κ(i)=j} h_i w_i / Σ_{κ(i)=j} h_i,    in turn

A local optimum, never worse than the start. Clusters are intervals between the midpoints of neighbouring centres:
with prefix sums a round takes O(K log n), not O(K n). A cluster that becomes empty is dropped.
"""

import numpy as np

from laconic.compiled import compiled
from laconic.quantize.clustering.prefix_sums import PrefixSums

ROUNDS = 100
"""Bound on the rounds: the dynamic programme's start needs far fewer."""


def lloyd(sums: PrefixSums, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the breaks that Lloyd's iteration reaches from ``centres``, and their squared error.

    Args:
        sums: prefix sums of the n sorted values.
        centres: shape (k,), ascending, finite, in the units of the values; at least one.

    Returns:
        Positions from 0 to n, ascending without repeats; and `Σ h z²`-sized error, in the units of ``sums``.
    """
    breaks, error = _lloyd(
        sums.values, sums.mass, sums.first, sums.second, sums.shift, sums.scale, centres.astype(np.float64), ROUNDS
    )
    return breaks, float(error)


@compiled
def _lloyd(
    values: np.ndarray,
    mass: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    shift: float,
    scale: float,
    centres: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, float]:
    best, least = np.zeros(0, np.int64), np.inf
    for _ in range(rounds):
        breaks = _cut(values, centres)
        k = len(breaks) - 1
        centres, error = np.empty(k), 0.0
        for j in range(k):
            i, e = breaks[j], breaks[j + 1]
            total, weight = first[e] - first[i], mass[e] - mass[i]
            # a weight below the last digit of the sum is none; and a mean lies within its interval, rounded or not
            mean = total / weight if weight > 0 else 0.0
            error += max(0.0, second[e] - second[i] - total * mean)
            centres[j] = min(max(shift + scale * mean, values[i]), values[e - 1])
        stuck = not error < least * (1 - 1e-9)
        if error < least:
            best, least = breaks, error
        if stuck:
            break
    return best, least


@compiled
def _cut(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return where the values pass the midpoints of neighbouring centres, from 0 to n without repeats."""
    n = len(values)
    breaks = np.zeros(len(centres) + 1, np.int64)
    count = 0
    for j in range(len(centres) - 1):
        midpoint = centres[j] / 2 + centres[j + 1] / 2
        low, high = breaks[count], n
        while low < high:
            middle = (low + high) // 2
            if values[middle] <= midpoint:
                low = middle + 1
            else:
                high = middle
        if breaks[count] < low < n:
            count += 1
            breaks[count] = low
    breaks[count + 1] = n
    return breaks[: count + 2]
