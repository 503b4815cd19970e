"""Where Deep Compression starts its k-means, and where Lloyd's iteration ends from there.

    linear    K values evenly spread from the least weight to the largest
    density   the quantiles (k + ½)/K of the weights: more entries where weights are dense
    random    K of the weights, drawn without replacement (Forgy)

Local optima, kept as the field's baseline: `laconic.quantize.clustering.cluster` finds the global one, in less time.

Source: Han, Mao & Dally, "Deep Compression" (ICLR 2016), section 3.2, which finds linear the best of the three after
training, for it keeps the few large weights apart.
"""

import numpy as np

from laconic.quantize.clustering.lloyd import lloyd
from laconic.quantize.clustering.prefix_sums import PrefixSums, count_distinct, prefix_sums, sort

STARTS = ("linear", "density", "random")


def lloyd_from(start: str, values: np.ndarray, weights: np.ndarray | None, k: int, seed: int = 0) -> np.ndarray:
    """Return the at most ``k`` centres that Lloyd's iteration reaches from ``start``, ascending, float64.

    At most ``k`` distinct values are their own centres. Entries that empty are dropped.

    Args:
        start: one of `STARTS`.
        values: shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None, or all zero, for the unit weight.
        k: number of clusters, at least 1.
        seed: of the random start.

    >>> lloyd_from("linear", np.array([0.0, 1.0, 9.0]), None, 2)
    array([0.5, 9. ])
    """
    ordered = np.sort(values)
    if count_distinct(ordered, k) <= k:
        return np.unique(ordered).astype(np.float64) + 0.0
    sums = prefix_sums(*sort(values, weights))
    return sums.means(lloyd(sums, starting_centres(start, sums, k, seed))[0])


def starting_centres(start: str, sums: PrefixSums, k: int, seed: int = 0) -> np.ndarray:
    """Return the ``k`` centres of ``start``, ascending, float64."""
    values = sums.values
    if start == "linear":
        spread: np.ndarray = np.linspace(float(values[0]), float(values[-1]), k)
        return spread
    if start == "density":
        share = (np.arange(k) + 0.5) / k * (sums.mass[-1] - sums.mass[0]) + sums.mass[0]
        places = np.searchsorted(sums.mass[1:], share)
        centres: np.ndarray = values[np.minimum(places, len(values) - 1)]
        return centres.astype(np.float64)
    assert start == "random", f"start is one of {STARTS}, not {start!r}"
    drawn = np.random.default_rng(seed).choice(len(values), min(k, len(values)), replace=False)
    return np.sort(values[drawn]).astype(np.float64)
