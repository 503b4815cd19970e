"""Pruning and a codebook at once, on the line: which weights stay, and the values that these share.

    min over S, c   Σ_{i ∉ S} w_i² + Σ_{i ∈ S} min_j (w_i − c_j)²,   |S| ≤ κ,   j in range(K)

Given c, a weight that stays gains max_j c_j (2 w − c_j) over one that is pruned: of an entry above 0 the more, the
larger w is, of one below 0 the more, the smaller. So an optimum prunes an interval of the sorted weights; entries below
0 are for the weights below it, entries above 0 for those above. With D_m(s) of `laconic.quantize.clustering.dynamic`
for the s least weights and E_m(t) for the t largest,

    max over s + t ≤ κ, m   Σ_{i < s} w_i² − D_m(s) + Σ_{i ≥ n − t} w_i² − E_{K − m}(t)

Exact; O(K κ log κ) time, 8 K κ bytes for each side.
"""

import numpy as np

from laconic.quantize.clustering.dynamic import least_errors
from laconic.quantize.clustering.prefix_sums import prefix_sums

MOST = 1 << 22
"""Survivors times entries up to which the optimum is looked for: half a second or so."""


def survivors(values: np.ndarray, k: int, kappa: int) -> tuple[int, int] | None:
    """Return how many of the least and how many of the largest weights stay, or None where there are too many.

    Args:
        values: shape (n,), ascending, float32 or float64, finite.
        k: number of entries, at least 1.
        kappa: κ, weights that may stay.

    >>> survivors(np.array([-9.0, -1.0, 0.5, 1.0, 8.0, 8.0, 10.0]), 2, 4)
    (1, 3)
    """
    below = min(int(np.searchsorted(values, 0.0, "left")), kappa)
    above = min(len(values) - int(np.searchsorted(values, 0.0, "right")), kappa)
    if k * max(below, above) > MOST:
        return None
    unit = max(-float(values[0]), float(values[-1])) if len(values) else 0.0
    if not unit:
        return 0, 0
    low, high = _gains(values[:below], k, unit), _gains(-values[len(values) - above :][::-1], k, unit)
    top = np.maximum.accumulate(high, axis=1)
    beside = np.minimum(kappa - np.arange(below + 1), above)  # of the largest, beside so many of the least
    totals = low + top[::-1][:, beside]  # m entries below 0, and K − m above
    m, s = np.unravel_index(int(np.argmax(totals)), totals.shape)
    t = int(np.argmax(high[k - m, : beside[s] + 1]))
    return int(s), t


def _gains(values: np.ndarray, k: int, unit: float) -> np.ndarray:
    """Return what it gains to keep the first of these with m entries, in units of ``unit``², shape (k + 1, n + 1)."""
    gains = np.full((k + 1, len(values) + 1), -np.inf)
    gains[:, 0] = 0.0
    if len(values):
        sums = prefix_sums(values, None)
        squares = np.concatenate([[0.0], np.cumsum(np.square(values / unit, dtype=np.float64))])
        errors = least_errors(sums.mass, sums.first, sums.second, k)
        gains[1:] = squares - errors * (sums.scale / unit) ** 2
    return gains
