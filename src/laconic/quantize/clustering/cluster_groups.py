"""A codebook for each group of consecutive values: `laconic.quantize.clustering.cluster` for many small groups at once.

    min over c, κ   Σ_i h_i (w_i − c_{g(i), κ(i)})²,   g(i) = ⌊i / length⌋,   κ(i) in range(K)

Exact for groups up to `SMALL`, O(P K log length); larger ones go through `cluster` one by one.
"""

import math

import numpy as np

from laconic.compiled import compiled
from laconic.quantize.clustering.cluster import cluster
from laconic.quantize.clustering.dynamic import cuts_of
from laconic.quantize.clustering.prefix_sums import unit_sums, weighted_sums

SMALL = 1 << 14
"""Values of a group times clusters up to which all groups are solved in one loop of machine code."""


def cluster_groups(values: np.ndarray, weights: np.ndarray | None, k: int, length: int) -> np.ndarray:
    """Return the centres of each group, ascending, float64, shape (groups, min(k, length)).

    A group with fewer distinct values than that repeats its last centre.

    Args:
        values: shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None for the unit weight, which is also that of groups of zeros.
        k: clusters of a group, at least 1.
        length: values of a group, at least 1; the last group may be shorter.

    >>> cluster_groups(np.array([1.0, 2.0, 9.0, 4.0]), None, 2, 3)
    array([[1.5, 9. ],
           [4. , 4. ]])
    """
    k = min(k, length)
    heavy = np.zeros(0) if weights is None else weights.astype(np.float64)
    if length * k <= SMALL:
        return _clustered(values.astype(np.float64), heavy, k, length)
    centres = np.empty((-(-len(values) // length), k))
    for g, row in enumerate(centres):
        own = slice(g * length, (g + 1) * length)
        entries = cluster(values[own], heavy[own] if len(heavy) else None, k)
        row[: len(entries)], row[len(entries) :] = entries, entries[-1]
    return centres


@compiled
def _clustered(values: np.ndarray, weights: np.ndarray, k: int, length: int) -> np.ndarray:
    n = len(values)
    centres = np.empty(((n + length - 1) // length, k))
    for g in range(len(centres)):
        own = values[g * length : min(n, g * length + length)]
        heavy = weights[g * length : min(n, g * length + length)] if len(weights) else np.ones(len(own))
        entries = _centres(own, heavy, k)
        for j in range(k):
            centres[g, j] = entries[min(j, len(entries) - 1)]
    return centres


@compiled
def _centres(values: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Return what `cluster` does, for few values."""
    distinct = np.unique(values)
    if len(distinct) <= k:
        return distinct + 0.0  # no negative zero
    heavy = weights if weights.max() > 0 else np.ones(len(values))
    order = np.argsort(values, kind="mergesort")
    order = order[heavy[order] > 0]
    ordered, heavy = values[order], heavy[order]
    edges = np.zeros(len(ordered) + 1, np.int64)
    count = 1
    for i in range(1, len(ordered)):
        if ordered[i] != ordered[i - 1]:
            edges[count] = i
            count += 1
    edges[count] = len(ordered)
    edges = edges[: count + 1]
    if count > k:
        shift = ordered[len(ordered) // 2]
        reach = max(ordered[-1] / 2 - shift / 2, shift / 2 - ordered[0] / 2)
        scale = 2.0 ** min(max(math.frexp(reach)[1], -1000), 1000)
        if heavy.min() == heavy.max():
            mass, first, second = unit_sums(ordered, shift, scale)
        else:
            mass, first, second = weighted_sums(ordered, heavy, heavy.max(), shift, scale)
        edges = edges[cuts_of(mass[edges], first[edges], second[edges], k)]
        centres = np.empty(k)
        for j in range(k):
            i, e = edges[j], edges[j + 1]
            weight = mass[e] - mass[i]
            mean = shift + scale * (first[e] - first[i]) / weight if weight > 0 else shift
            centres[j] = min(max(mean, ordered[i]), ordered[e - 1])
        return centres
    return ordered[edges[:-1]] + 0.0
