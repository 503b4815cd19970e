"""The nearest entry of a codebook: `κ(i) = argmin_j |w_i − c_j|`, a tie to the lower entry. Exact, O(n log K).

Or a tie goes outwards, to the entry farther from 0, and between −c and c to c: then the sign of 0 is +1.
"""

import numpy as np

from laconic.compiled import compiled


def nearest(values: np.ndarray, entries: np.ndarray, *, outwards: bool = False) -> np.ndarray:
    """Return the index of the nearest entry for each value.

    Args:
        values: shape (n,), float32 or float64.
        entries: shape (k,), ascending, float64; at least one unless there are no values.
        outwards: where ties go.

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
    bounds[: k - 1] = _bounds(entries, outwards)
    _search(values, bounds, indices)
    return indices


def nearest_in_groups(values: np.ndarray, entries: np.ndarray, length: int, *, outwards: bool = False) -> np.ndarray:
    """Return the same where each ``length`` values have entries of their own, shape (groups, k), the last fewer values.

    >>> nearest_in_groups(np.array([0.0, 1.0, 5.0]), np.array([[0.0, 1.0], [4.0, 8.0]]), 2)
    array([0, 1, 0], dtype=uint8)
    """
    k = entries.shape[1]
    indices = np.zeros(len(values), np.uint8 if k <= 1 << 8 else np.uint16 if k <= 1 << 16 else np.uint32)
    if k > 1:
        _search_groups(values, _bounds(entries, outwards), length, indices)
    return indices


def _bounds(entries: np.ndarray, outwards: bool) -> np.ndarray:
    """Return the largest number of float64 that goes to each entry but the last."""
    middles: np.ndarray = entries[..., 1:] / 2 + entries[..., :-1] / 2
    return np.where(middles >= 0, np.nextafter(middles, -np.inf), middles) if outwards else middles


@compiled
def _search_groups(values: np.ndarray, bounds: np.ndarray, length: int, indices: np.ndarray) -> None:
    for t in range(len(values)):
        group, low, high = t // length, 0, bounds.shape[1]
        while low < high:
            middle = (low + high) // 2
            if values[t] > bounds[group, middle]:
                low = middle + 1
            else:
                high = middle
        indices[t] = low


@compiled
def _search(values: np.ndarray, bounds: np.ndarray, indices: np.ndarray) -> None:
    half = len(bounds) // 2
    for t in range(len(values)):
        value, low, step = values[t], 0, half
        while step:
            low += step if value > bounds[low + step - 1] else 0
            step >>= 1
        indices[t] = low
