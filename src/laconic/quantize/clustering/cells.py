"""Nearly the optimum for millions of values: dynamic programming over a few thousand cells, then Lloyd's iteration.

Cells are intervals with exact moments, so that the optimum over cells is one over values whose cuts fall on edges of
cells. K optimal clusters have the density f^(1/3) (Panter & Dite 1951, of the values' density f): with cells of that
density every cluster has about as many. Lloyd's iteration then moves the cuts to where they belong.

Not exact: within 0.3 % of the least error in the tests, mostly within 0.02 %. O(n log n) for the sort, O(n) for the
sums, O(K C log C) for C cells; 28 to 60 bytes a value.
"""

import numpy as np

from laconic.quantize.clustering.dynamic import best_breaks
from laconic.quantize.clustering.lloyd import lloyd
from laconic.quantize.clustering.prefix_sums import PrefixSums, count_distinct, prefix_sums, sort

CELLS = 4096
"""Number of cells that are aimed at."""

CELLS_A_CLUSTER = 24
"""And the least number for each cluster."""


def fast(values: np.ndarray, weights: np.ndarray | None, k: int, warm: np.ndarray | None = None) -> np.ndarray:
    """Return at most ``k`` centres of nearly the least weighted squared error, ascending, float64.

    Args:
        values: shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None for the unit weight.
        k: number of clusters, at least 1.
        warm: centres to start from as well, in the units of the values; the better end is returned.

    >>> fast(np.float32([1, 2, 9, 10]), None, 2)
    array([1.5, 9.5])
    """
    ordered, heavy = sort(values, weights)
    if not len(ordered):
        return np.zeros(0)
    return polished(prefix_sums(ordered, heavy), k, warm)


def polished(sums: PrefixSums, k: int, warm: np.ndarray | None) -> np.ndarray:
    """Return the centres that `fast` finds on sorted values."""
    start = sums.means(best_breaks(sums, edges(sums, max(CELLS, CELLS_A_CLUSTER * k)), k))
    breaks, error = lloyd(sums, start)
    if warm is not None and 0 < len(warm) <= k:
        other, less = lloyd(sums, np.sort(warm.astype(np.float64)))
        breaks = other if less < error else breaks
    return sums.means(breaks)


def edges(sums: PrefixSums, cells: int) -> np.ndarray:
    """Return the positions of the edges of about ``cells`` cells of density f^(1/3), from 0 to n without repeats."""
    n = len(sums.values)
    if count_distinct(sums.values, cells) <= cells:
        return sums.distinct()
    knots = _knots(n, 4 * cells)
    at = sums.values[knots].astype(np.float64) / sums.scale
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(np.diff(sums.mass[knots]) * np.diff(at) ** 2))])
    asked = cells
    for _ in range(4):  # cells in the gaps of the tails are empty: ask for as many more
        cuts = np.interp(np.linspace(0, share[-1], asked + 1)[1:-1], share, at) * sums.scale
        # thresholds of the values' own type: searchsorted would convert all values otherwise
        inner = np.searchsorted(sums.values, cuts.astype(sums.values.dtype), side="right")
        places = np.unique(np.concatenate([[0], inner, [n]]))
        if len(places) > 0.9 * cells:
            break
        asked = min(asked * cells // len(places), 16 * cells)
    return places


def _knots(n: int, count: int) -> np.ndarray:
    """Return about ``count`` of the n ranks, evenly spread, and all ranks of the sparse tails."""
    tail = np.arange(min(n, count // 4))
    even = np.linspace(0, n - 1, min(n, count)).astype(np.int64)
    return np.unique(np.concatenate([tail, even, n - 1 - tail]))
