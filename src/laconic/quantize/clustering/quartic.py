"""k-means under an error of squares and fourth powers.

    min over c, κ   Σ_i g_i (w_i − c_κ(i))² + h_i (w_i − c_κ(i))⁴

Both terms grow with the distance, so that every weight goes to its nearest centre and clusters are intervals. The
centre of a cluster is the one real root of the error's derivative,

    4 H₀ x³ − 12 H₁ x² + (12 H₂ + 2 G₀) x − (4 H₃ + 2 G₁) = 0,    H_p = Σ h wᵖ,  G_p = Σ g wᵖ,

found by bisection between the least and the largest weight of the cluster; sums are taken around the last centre, which
keeps digits. The two steps in turn never raise the error: a local optimum. O(P) a round after sorting.

Source: Gao, Liu, Wang & Oh, "Rate distortion for model compression" (ICML 2019), Algorithm 2.
"""

import numpy as np

ROUNDS = 100
HALVINGS = 80


def quartic_clusters(values: np.ndarray, squares: np.ndarray, fourths: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return centres no worse than ``start``, ascending, float64; those that no weight takes are dropped.

    Args:
        values: w, shape (n,), finite.
        squares: g, shape (n,), not negative.
        fourths: h, shape (n,), not negative.
        start: centres, shape (k,), ascending without repeats, at least one unless there are no values.

    >>> quartic_clusters(np.array([0.0, 0.0, 3.0]), np.zeros(3), np.ones(3), np.array([1.0])).round(6)
    array([1.32748])
    """
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values, kind="stable")
    w, g, h = (np.asarray(part, np.float64)[order] for part in (values, squares, fourths))
    best, least, centres = start, np.inf, start.astype(np.float64)
    for _ in range(ROUNDS):
        cuts = np.searchsorted(w, centres[1:] / 2 + centres[:-1] / 2, side="right")
        starts = np.concatenate([[0], cuts])
        used = np.diff(np.append(starts, len(w))) > 0
        centres, starts = centres[used], starts[used]
        z = w - np.repeat(centres, np.diff(np.append(starts, len(w))))
        error = float((z * z * (g + h * z * z)).sum())
        if not error < least:
            break
        stuck = error >= least * (1 - 1e-12)
        best, least = centres, error
        if stuck:
            break
        centres = centres + _roots(z, g, h, starts)
    return best


def _roots(z: np.ndarray, g: np.ndarray, h: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the best centre of each interval; 0 where nothing weighs."""
    powers = [h, h * z, h * z * z, h * z * z * z, g, g * z]
    h0, h1, h2, h3, g0, g1 = (np.add.reduceat(part, starts) for part in powers)
    low, high = np.minimum.reduceat(z, starts), np.maximum.reduceat(z, starts)
    for _ in range(HALVINGS):
        x = low / 2 + high / 2
        slope = ((4 * h0 * x - 12 * h1) * x + 12 * h2 + 2 * g0) * x - (4 * h3 + 2 * g1)
        low, high = np.where(slope < 0, x, low), np.where(slope < 0, high, x)
    return np.where((h0 > 0) | (g0 > 0), low / 2 + high / 2, 0.0)
