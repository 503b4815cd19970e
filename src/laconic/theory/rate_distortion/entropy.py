"""Entropy of a distribution; that of a tensor of integers is `laconic.format.coding.entropy_bits`."""

import numpy as np


def entropy(probabilities: np.ndarray) -> float:
    """Return −Σ p log₂ p in bits: what no code of independent symbols goes below, on average.

    Args:
        probabilities: p, any shape, not negative, sum 1.

    >>> entropy(np.array([0.5, 0.25, 0.25, 0.0]))
    1.5
    """
    p = np.asarray(probabilities, np.float64)
    if not ((p >= 0).all() and abs(p.sum() - 1) < 1e-9):
        raise ValueError(f"probabilities: none negative, and a sum of 1, not of {p.sum()}; divide counts by their sum")
    used = p[p > 0]
    return float(np.dot(used, -np.log2(used)))
