"""How sure a difference on a test set is: the paired bootstrap over its samples (Efron & Tibshirani 1993)."""

import numpy as np

_BLOCK = 100
"""Resamples at a time."""


def resampled_means(values: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return the means of ``draws`` resamples with replacement, shape (draws, columns).

    All columns are resampled by the same rows: differences between them keep what their samples have in common.

    >>> resampled_means(np.array([[2.0, 5.0], [2.0, 5.0]]), 3, np.random.default_rng(0)).tolist()
    [[2.0, 5.0], [2.0, 5.0], [2.0, 5.0]]

    Args:
        values: shape (samples, columns).
        draws: number of resamples.
        generator: of the rows.
    """
    rows, means = len(values), [np.empty((0, values.shape[1]))]
    for start in range(0, draws, _BLOCK):
        count = min(_BLOCK, draws - start)
        drawn = generator.integers(0, rows, (count, rows))
        counts = np.stack([np.bincount(row, minlength=rows) for row in drawn])
        means.append(counts.astype(np.float64) @ values / rows)
    return np.concatenate(means)


def over_seeds(gaps: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return the means of ``draws`` resamples of samples and of seeds at once, shape (draws, 1).

    With one seed the seeds' chance is not in it.

    >>> over_seeds(np.array([[1.0], [1.0]]), 2, np.random.default_rng(0)).tolist()
    [[1.0], [1.0]]

    Args:
        gaps: of each sample under each seed, shape (samples, seeds).
        draws: number of resamples.
        generator: of rows and seeds.
    """
    means = resampled_means(gaps, draws, generator)
    drawn = generator.integers(0, gaps.shape[1], means.shape)
    result: np.ndarray = np.take_along_axis(means, drawn, axis=1).mean(1, keepdims=True)
    return result


def interval(means: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the two ends of the central percentile interval of each column.

    >>> low, high = interval(np.arange(101.0)[:, None], 0.5)
    >>> low.tolist(), high.tolist()
    ([25.0], [75.0])
    """
    tail = (1 - level) / 2
    return np.quantile(means, tail, axis=0), np.quantile(means, 1 - tail, axis=0)


def along(at: np.ndarray, shares: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the costs of every sample at other places of a curve, read off between its points along straight lines.

    >>> along(np.array([0.25, 1.0]), np.array([0.0, 1.0]), np.array([[0.0, 8.0], [4.0, 8.0]])).tolist()
    [[1.0, 8.0], [4.0, 8.0]]

    Args:
        at: where, within the range of ``shares``, shape (places,).
        shares: of the points, ascending, shape (points,).
        costs: shape (points, samples).
    """
    after = np.clip(np.searchsorted(shares, at), 1, max(len(shares) - 1, 1)) if len(shares) > 1 else 0 * at.astype(int)
    before = np.maximum(after - 1, 0)
    width = shares[after] - shares[before]
    weight = np.where(width > 0, (at - shares[before]) / np.where(width > 0, width, 1), 0.0)[:, None]
    result: np.ndarray = (1 - weight) * costs[before] + weight * costs[after]
    return result
