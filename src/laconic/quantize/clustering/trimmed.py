"""Trimmed k-means on the line: the codebook for weights of which κ need none, for they are stored by themselves.

    min over c, S   Σ_{i ∉ S} min_j (w_i − c_j)²,   |S| ≤ κ

Method: codebook and S in turn, each the best given the other, from two starts: S empty, and S the κ values of largest
magnitude. Given c, S is where the κ largest errors are, so that what stays are K windows of one width about the
centres. Given S, the codebook is that of `cluster` on the rest. Between two such sweeps Lloyd's step takes its place,
which costs O(K log n) on prefix sums: sweeps are few. A local optimum, never worse than either start; O(n log n).

Source: Cuesta-Albertos, Gordaliza & Matrán, "Trimmed k-means" (Annals of Statistics 25, 1997).
"""

import numpy as np

from laconic.compiled import compiled
from laconic.quantize.clustering.cluster import of_sorted
from laconic.quantize.clustering.prefix_sums import PrefixSums, prefix_sums

SWEEPS, ROUNDS, ENOUGH = 20, 1000, 1e-7
"""Sweeps at most, rounds of Lloyd's step in each, and the relative gain below which sweeps end."""


def trimmed(values: np.ndarray, k: int, kappa: int, warm: np.ndarray | None = None) -> np.ndarray:
    """Return at most ``k`` centres, ascending, float64.

    Args:
        values: shape (n,), float32 or float64, finite.
        k: number of centres, at least 1.
        kappa: κ, not negative; where it is n or more, all errors vanish and the centres are those of `cluster`.
        warm: centres to start from as well, ascending.

    >>> trimmed(np.array([1.0, 1.0, 3.0, 3.0, 90.0, -80.0]), 2, 2)
    array([1., 3.])
    """
    if not len(values):
        return np.zeros(0)
    ordered = np.sort(values)
    starts = [of_sorted(ordered, None, k, warm)]
    if 0 < kappa < len(ordered):
        starts.append(of_sorted(_middle(ordered, kappa), None, k))
    if warm is not None and 0 < len(warm) <= k:
        starts.append(warm.astype(np.float64))
    if kappa >= len(ordered) or len(starts) == 1:
        return starts[0]
    sums = prefix_sums(ordered, None)
    candidates = [_descent(sums, start, k, kappa) for start in starts]
    best: np.ndarray = min([*candidates, *starts], key=lambda centres: _left(ordered, centres, kappa))
    return best


def _left(ordered: np.ndarray, centres: np.ndarray, kappa: int) -> float:
    """Return the error without the ``kappa`` largest, whose ties the windows of a descent do not tell apart."""
    scale = max(abs(float(ordered[0])), abs(float(ordered[-1]))) or 1.0
    inner = (centres[1:] / 2 + centres[:-1] / 2).astype(np.float64)
    apart = (ordered - centres[np.searchsorted(inner, ordered)]) / scale
    squares = np.square(apart, dtype=np.float64)
    stay = len(squares) - kappa
    return float((np.partition(squares, stay)[:stay] if kappa else squares).sum())


def _middle(ordered: np.ndarray, kappa: int) -> np.ndarray:
    """Return what stays of sorted values without the ``kappa`` of largest magnitude."""
    magnitudes = np.abs(ordered)
    largest = np.partition(magnitudes, len(ordered) - 1 - kappa)[len(ordered) - 1 - kappa]
    kept: np.ndarray = ordered[magnitudes <= largest]
    return kept


def _descent(sums: PrefixSums, centres: np.ndarray, k: int, kappa: int) -> np.ndarray:
    """Return the centres that the sweeps reach."""
    best, least = centres, np.inf
    for _ in range(SWEEPS):
        means, low, high, error = _settled(
            sums.values, sums.mass, sums.first, sums.second, sums.shift, sums.scale, centres, kappa, ROUNDS
        )
        if not error < least * (1 - ENOUGH):
            break
        best, least = means, float(error)
        kept = np.concatenate([sums.values[a:b] for a, b in zip(low, high, strict=True)])
        centres = of_sorted(kept, None, k, np.unique(means))
    return np.unique(best)


@compiled
def _settled(
    values: np.ndarray,
    mass: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    shift: float,
    scale: float,
    centres: np.ndarray,
    kappa: int,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return means, windows and error that Lloyd's step with trimming reaches."""
    k = len(centres)
    best, best_low, best_high = centres, np.zeros(k, np.int64), np.zeros(k, np.int64)
    least = np.inf
    for _ in range(rounds):
        low, high = _windows(values, centres, kappa)
        means, error = centres.copy(), 0.0
        for j in range(k):
            a, b = low[j], high[j]
            if a < b:
                total, weight = first[b] - first[a], mass[b] - mass[a]
                error += max(0.0, second[b] - second[a] - total * total / weight)
                means[j] = min(max(shift + scale * total / weight, values[a]), values[b - 1])
        if not error < least:
            break
        best, best_low, best_high, least = means, low, high, error
        centres = means
    return best, best_low, best_high, least


@compiled
def _windows(values: np.ndarray, centres: np.ndarray, kappa: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each centre the positions of those nearest to it, of which all but at most ``kappa`` are left."""
    n, k = len(values), len(centres)
    cuts = np.zeros(k + 1, np.int64)
    cuts[k] = n
    for j in range(1, k):
        cuts[j] = max(cuts[j - 1], _until(values, centres[j] / 2 + centres[j - 1] / 2))
    least, far = 0.0, min(max(values[n - 1] - centres[0], centres[k - 1] - values[0], 0.0), 1.7e308)
    low, high = _within(values, centres, cuts, far)
    for _ in range(80):
        middle = least / 2 + far / 2
        if not least < middle < far:
            break
        inner_low, inner_high = _within(values, centres, cuts, middle)
        left = n - (inner_high - inner_low).sum()
        if left > kappa:
            least = middle
            continue
        far, low, high = middle, inner_low, inner_high
        if left == kappa:
            break
    return low, high


@compiled
def _within(values: np.ndarray, centres: np.ndarray, cuts: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which positions of each cell lie within ``reach`` of its centre."""
    k = len(centres)
    low, high = np.zeros(k, np.int64), np.zeros(k, np.int64)
    for j in range(k):
        low[j] = max(cuts[j], _until(values, np.nextafter(centres[j] - reach, -np.inf)))
        high[j] = max(low[j], min(cuts[j + 1], _until(values, centres[j] + reach)))
    return low, high


@compiled
def _until(values: np.ndarray, bound: float) -> int:
    """Return how many of the sorted values are ``bound`` or less."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= bound:
            low = middle + 1
        else:
            high = middle
    return low
