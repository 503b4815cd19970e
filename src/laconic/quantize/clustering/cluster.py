"""The way to the codebook that suits the size: distinct values, the optimum, or nearly the optimum."""

import numpy as np

from laconic.quantize.clustering.cells import CELLS, polished
from laconic.quantize.clustering.dynamic import best_breaks
from laconic.quantize.clustering.prefix_sums import count_distinct, prefix_sums, sort

EXACT = 1 << 20
"""Distinct values times clusters up to which the optimum is found: a tenth of a second or so."""


def cluster(values: np.ndarray, weights: np.ndarray | None, k: int, warm: np.ndarray | None = None) -> np.ndarray:
    """Return at most ``k`` centres, ascending, float64: `min Σ h_i (w_i − c_κ(i))²`.

    At most ``k`` distinct values are their own centres, whatever they weigh: projecting twice is projecting once.
    Exact up to `EXACT`, or up to `CELLS` distinct values; beyond that `fast`.

    Args:
        values: shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None, or all zero, for the unit weight.
        k: number of clusters, at least 1.
        warm: centres to start from as well where the optimum is out of reach.

    >>> cluster(np.array([3.0, 1.0, 3.0]), np.array([1.0, 0.0, 1.0]), 2)
    array([1., 3.])
    """
    if not len(values):
        return np.zeros(0)
    ordered, heavy = sort(values, weights)
    if len(ordered) < len(values) and count_distinct(np.sort(values.astype(ordered.dtype)), k) <= k:
        ordered, heavy = sort(values, None)
    return of_sorted(ordered, heavy, k, warm)


def of_sorted(ordered: np.ndarray, heavy: np.ndarray | None, k: int, warm: np.ndarray | None = None) -> np.ndarray:
    """Return what `cluster` does, of values in ascending order, at least one, that all weigh something."""
    limit = max(CELLS, EXACT // k, k)
    count = count_distinct(ordered, limit)
    if count <= k:
        return np.unique(ordered).astype(np.float64) + 0.0  # no negative zero
    sums = prefix_sums(ordered, heavy)
    if count <= limit:
        return sums.means(best_breaks(sums, sums.distinct(), k))
    return polished(sums, k, warm)
