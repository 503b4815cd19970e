"""The nearest entry of a codebook: `κ(i) = argmin_j |w_i − c_j|`, a tie to the lower entry. Exact, O(n log K)."""

import numpy as np

from laconic.compiled import compiled


def nearest(values: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Return the index of the nearest entry for each value.

    Args:
        values: shape (n,), float32 or float64.
        entries: shape (k,), ascending, float64; at least one unless there are no values.

    Returns:
        Shape (n,), the smallest unsigned type that holds ``range(k)``.

    >>> nearest(np.array([-1.0, 0.5, 0.6]), np.array([0.0, 1.0]))
    array([0, 0, 1], dtype=uint8)
    """
    k = len(entries)
    indices = np.zeros(len(values), np.uint8 if k <= 1 << 8 else np.uint16 if k <= 1 << 16 else np.uint32)
    if k < 2:
        return indices
    # padded with infinity to a power of two, the search has no branch to mispredict
    bounds = np.full(1 << (k - 1).bit_length(), np.inf)
    bounds[: k - 1] = entries[1:] / 2 + entries[:-1] / 2
    _search(values, bounds, indices)
    return indices


@compiled
def _search(values: np.ndarray, bounds: np.ndarray, indices: np.ndarray) -> None:
    half = len(bounds) // 2
    for t in range(len(values)):
        value, low, step = values[t], 0, half
        while step:
            low += step if value > bounds[low + step - 1] else 0
            step >>= 1
        indices[t] = low
