"""The optimum by dynamic programming.

    D_m(j) = min over i < j of D_{m−1}(i) + C(i, j),    C(i, j) = Σ_{i<t≤j} h_t z_t² − (Σ h_t z_t)² / Σ h_t

`D_m(j)` is the least squared error of the first j values in m clusters. Exact. The argmin grows with j (C is
concave-Monge), so one layer takes O(n log n) by divide and conquer, all of them O(K n log n); the back-pointers
take 4 K n bytes, where n counts distinct values.

Source: Wu & Rokne, "An O(KN log N) algorithm for optimum K-level quantization on histograms of N points" (1989);
Grønlund et al., "Fast exact k-means, k-medians and Bregman divergence clustering in 1D" (2017), section 2.
Departure: prefix sums run from the median outwards (`prefix_sums`), which keeps digits.
"""

import numpy as np

from laconic.compiled import compiled
from laconic.quantize.clustering.prefix_sums import PrefixSums, prefix_sums, sort


def exact(values: np.ndarray, weights: np.ndarray | None, k: int) -> np.ndarray:
    """Return the at most ``k`` centres of least weighted squared error, ascending, float64.

    Args:
        values: shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None for the unit weight.
        k: number of clusters, at least 1.

    >>> exact(np.array([1.0, 2.0, 9.0, 10.0]), np.array([1.0, 3.0, 1.0, 1.0]), 2)
    array([1.75, 9.5 ])
    """
    ordered, heavy = sort(values, weights)
    if not len(ordered):
        return np.zeros(0)
    sums = prefix_sums(ordered, heavy)
    return sums.means(best_breaks(sums, sums.distinct(), k))


def best_breaks(sums: PrefixSums, edges: np.ndarray, k: int) -> np.ndarray:
    """Return the best positions at which to cut into at most ``k`` intervals, from 0 to n.

    Args:
        sums: prefix sums of the n sorted values.
        edges: positions where a cut is allowed, ascending from 0 to n without repeats.
        k: number of intervals, at least 1.
    """
    if len(edges) - 1 <= k:
        return edges
    breaks: np.ndarray = edges[cuts_of(*sums.at(edges), k)]
    return breaks


@compiled
def _cost(mass: np.ndarray, first: np.ndarray, second: np.ndarray, i: int, j: int) -> float:
    weight, total = mass[j] - mass[i], first[j] - first[i]
    # a weight below the last digit of the sum is none
    cost: float = max(0.0, second[j] - second[i] - total * total / weight) if weight > 0 else 0.0
    return cost


@compiled
def cuts_of(mass: np.ndarray, first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    """Return the k + 1 edges of the best partition of the n > k intervals between neighbouring edges."""
    n = len(mass) - 1
    back = np.zeros((k, n + 1), np.int32)
    layer, now = np.zeros(n + 1), np.zeros(n + 1)
    for j in range(1, n + 1):
        layer[j] = _cost(mass, first, second, 0, j)
    for m in range(1, k):
        # the first m values and the last k − 1 − m need a cluster each at most; the last layer needs D(n) alone
        lowest = m + 1 if m < k - 1 else n
        _layer(mass, first, second, layer, now, back[m], m, lowest, n - (k - 1 - m))
        layer, now = now, layer
    breaks = np.zeros(k + 1, np.int64)
    breaks[k] = n
    for m in range(k - 1, 0, -1):
        breaks[m] = back[m, breaks[m + 1]]
    return breaks


@compiled
def least_errors(mass: np.ndarray, first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    """Return D_m(j) for m = 1 to k and j = 0 to n: of the first j values in at most m clusters, shape (k, n + 1)."""
    n = len(mass) - 1
    errors, back = np.zeros((k, n + 1)), np.zeros(n + 1, np.int32)
    for j in range(1, n + 1):
        errors[0, j] = _cost(mass, first, second, 0, j)
    for m in range(1, k):
        if m < n:
            _layer(mass, first, second, errors[m - 1], errors[m], back, m, m + 1, n)
    return errors


@compiled
def _layer(
    mass: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    before: np.ndarray,
    now: np.ndarray,
    back: np.ndarray,
    m: int,
    lowest: int,
    highest: int,
) -> None:
    """Fill ``now[lowest:highest + 1]`` and its argmins, each at least m, by halving the range."""
    stack = np.empty((64, 4), np.int64)  # ranges halve: their depth is below 64
    stack[0] = (lowest, highest, m, highest - 1)
    depth = 1
    while depth:
        depth -= 1
        low, high, from_, to = stack[depth]
        j = (low + high) // 2
        best, where = np.inf, from_
        for i in range(from_, min(to, j - 1) + 1):
            cost = before[i] + _cost(mass, first, second, i, j)
            if cost < best:
                best, where = cost, i
        now[j], back[j] = best, where
        if low < j:
            stack[depth] = (low, j - 1, from_, where)
            depth += 1
        if j < high:
            stack[depth] = (j + 1, high, where, to)
            depth += 1
