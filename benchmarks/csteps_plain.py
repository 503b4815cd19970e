"""C steps written down plainly in NumPy: those of laconic may never have a larger error on the same weights."""

import numpy as np


def keep_largest(w: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` largest weights, by partial selection."""
    kept = np.argpartition(np.abs(w), len(w) - count)[len(w) - count :]
    pruned = np.zeros_like(w)
    pruned[kept] = w[kept]
    return pruned


def hard_threshold(w: np.ndarray, price: float) -> np.ndarray:
    """The minimiser of ‖w − θ‖² + price ‖θ‖₀."""
    return np.where(w * w > price, w, 0)


def soft_threshold(w: np.ndarray, threshold: float) -> np.ndarray:
    """The minimiser of ‖w − θ‖² + 2 threshold ‖θ‖₁."""
    return np.sign(w) * np.maximum(np.abs(w) - threshold, 0)


def l1_ball(w: np.ndarray, radius: float) -> np.ndarray:
    """The nearest point of ℓ1 norm ``radius``, below that of w, by sorting (Duchi et al. 2008, figure 1)."""
    u = np.sort(np.abs(w).astype(np.float64))[::-1]
    excess = (np.cumsum(u) - radius) / np.arange(1, len(u) + 1)
    return soft_threshold(w, excess[np.flatnonzero(u > excess)[-1]])


def scaled_binary(w: np.ndarray) -> np.ndarray:
    """Each weight is ± the mean size."""
    return np.copysign(np.abs(w).mean(dtype=np.float64), w)


def scaled_ternary(w: np.ndarray) -> np.ndarray:
    """The k largest sizes become their mean, for the k of largest S_k / √k; by sorting."""
    u = np.sort(np.abs(w).astype(np.float64))[::-1]
    sums = np.cumsum(u)
    k = int(np.argmax(sums**2 / np.arange(1, len(u) + 1))) + 1
    return np.where(np.abs(w) >= u[k - 1], np.sign(w) * (sums[k - 1] / k), 0)


def two_values(w: np.ndarray) -> np.ndarray:
    """The best two values: every place of the border is tried on the sorted weights."""
    u = np.sort(w.astype(np.float64))
    k, sums = np.arange(1, len(u)), np.cumsum(u)
    i = int(np.argmax(sums[:-1] ** 2 / k + (sums[-1] - sums[:-1]) ** 2 / (len(u) - k)))
    low, high = sums[i] / k[i], (sums[-1] - sums[i]) / (len(u) - k[i])
    return np.where(w > (low + high) / 2, high, low)


def corrected(w: np.ndarray, count: int, sweeps: int = 10) -> np.ndarray:
    """Two values plus ``count`` corrections, each fitted in turn to what the other leaves."""
    corrections = np.zeros_like(w)
    for _ in range(sweeps):
        values = two_values(w - corrections)
        corrections = keep_largest(w - values, count)
    return values + corrections
