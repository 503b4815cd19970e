"""R(D) of Gaussian sources for squared error: one, and many under one budget (reverse water-filling).

    R = Σ_i n_i max(0, ½ log₂(v_i / θ)),   D = Σ_i n_i min(θ, v_i)

Source: Shannon (1959); Cover & Thomas, "Elements of Information Theory", theorem 10.3.3. Errors that are weighted by λ
(Gao, Liu, Wang & Oh, "Rate distortion for model compression", 2019, theorem 2) are variances λ_i v_i.
"""

from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True, eq=False)
class Filled:
    """The best division of a budget over sources.

    Args:
        level: the water level θ: the error of each number of every source that gets bits; half the price of a nat.
        rate: R, bits of all sources together.
        distortion: D, squared error of all sources together.
        distortions: squared error of one number of each source, shape (sources,).
    """

    level: float
    rate: float
    distortion: float
    distortions: np.ndarray


def gaussian_rate(variance: float, distortion: float) -> float:
    """Return R(D) in bits for one number: ½ log₂(v / D), or 0 where D reaches the variance.

    Args:
        variance: v, the mean square of the source about 0, not negative.
        distortion: D, mean squared error, positive.

    >>> gaussian_rate(4.0, 1.0), gaussian_rate(1.0, 2.0)
    (1.0, 0.0)
    """
    _require(distortion > 0, f"a distortion of {distortion}: infinitely many bits")
    return 0.5 * float(np.log2(variance / distortion)) if variance > distortion else 0.0


def gaussian_distortion(variance: float, rate: float) -> float:
    """Return D(R) for one number at ``rate`` bits, v 2^−2R: the inverse of `gaussian_rate`.

    >>> gaussian_distortion(4.0, 1.0)
    1.0
    """
    _require(rate >= 0, f"a rate of {rate} bits")
    return float(variance * 2.0 ** (-2 * rate))


def water_filling(variances: np.ndarray, counts: np.ndarray, distortion: float) -> Filled:
    """Return the least rate at which the squared error of all sources together is at most ``distortion``.

    Method: D(θ) is piecewise linear with its kinks at the variances, so sorting them gives θ exactly. O(n log n).

    Args:
        variances: v, shape (sources,), not negative.
        counts: how many numbers each source has, shape (sources,), not negative.
        distortion: D, positive.

    >>> filled = water_filling(np.array([3.0, 2.0, 1.0]) ** 2, np.ones(3), 3.0)
    >>> filled.level, round(filled.rate, 4)
    (1.0, 2.585)
    """
    variances, counts = _checked(variances, counts)
    _require(distortion > 0, f"a distortion of {distortion}: infinitely many bits")
    order = np.argsort(variances)
    v, n = variances[order], counts[order]
    above = n.sum() - np.cumsum(n)  # numbers of larger variance
    kinks = np.cumsum(n * v) + above * v  # D where θ reaches each variance
    first = int(np.searchsorted(kinks, distortion))
    if first == len(v):
        return _filled(variances, counts, float(v[-1]) if len(v) else 0.0)
    full = float(np.dot(n[:first], v[:first]))
    return _filled(variances, counts, (distortion - full) / float(n[first:].sum()))


def water_filling_rate(variances: np.ndarray, counts: np.ndarray, rate: float) -> Filled:
    """Return the least squared error of all sources together at ``rate`` bits: the inverse of `water_filling`.

    Method: R is piecewise linear in log θ; arguments as there.

    >>> water_filling_rate(np.array([4, 1, 0.25, 0.0625]), np.ones(4), 4 * 0.5).distortion / 4
    0.328125
    """
    variances, counts = _checked(variances, counts)
    _require(rate >= 0, f"a rate of {rate} bits")
    used = (variances > 0) & (counts > 0)
    order = np.argsort(variances[used])[::-1]
    logs, n = np.log2(variances[used][order]), counts[used][order]
    if not len(logs):
        return _filled(variances, counts, 0.0)
    kinks = 0.5 * (np.cumsum(n * logs) - np.cumsum(n) * logs)  # R where θ falls to each variance
    wet = int(np.searchsorted(kinks, rate, side="right"))
    level = (float(np.dot(n[:wet], logs[:wet])) - 2 * rate) / float(n[:wet].sum())
    return _filled(variances, counts, float(2.0**level))


def _filled(variances: np.ndarray, counts: np.ndarray, level: float) -> Filled:
    """Return what a water level comes to."""
    distortions = np.minimum(variances, level)
    used = variances > level
    rate = 0.5 * float(np.dot(counts[used], np.log2(variances[used] / level))) if level > 0 else 0.0
    return Filled(level, rate, float(np.dot(counts, distortions)), distortions)


def _checked(variances: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 of one shape; raise `ValueError` where they are not."""
    variances, counts = np.asarray(variances, np.float64), np.asarray(counts, np.float64)
    _require(variances.ndim == 1 and variances.shape == counts.shape, "one variance and one count a source")
    _require(bool((variances >= 0).all() and (counts >= 0).all()), "a negative variance or count")
    return variances, counts


def _require(condition: bool, message: str) -> None:
    """Raise `ValueError` unless ``condition`` holds."""
    if not condition:
        raise ValueError(message)
