"""Prefix sums over sorted values: the sum, mean and squared error of any interval in constant time."""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.compiled import compiled


@final
@dataclass(frozen=True, eq=False)
class PrefixSums:
    """Sorted values with the prefix sums of `h`, `h z` and `h z²`, where `z = (w − shift) / scale`.

    The sums run from the median outwards, so that an outlier's square costs no digits in the middle; scaling by a
    power of two keeps squares within range and rounds nothing.

    Args:
        values: shape (n,), ascending, float32 or float64, finite; every one has a positive weight.
        mass: shape (n + 1,); differences are the sums of the weights between two positions.
        first: shape (n + 1,), as `mass`, of `h z`.
        second: shape (n + 1,), as `mass`, of `h z²`.
        shift: the median, in the units of the values.
        scale: a power of two, in the units of the values.
    """

    values: np.ndarray
    mass: np.ndarray
    first: np.ndarray
    second: np.ndarray
    shift: float
    scale: float

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the three prefix sums at ``positions``, shape (m,)."""
        return self.mass[positions], self.first[positions], self.second[positions]

    def means(self, breaks: np.ndarray) -> np.ndarray:
        """Return the weighted mean of each interval ``breaks[j]:breaks[j + 1]``, none empty, float64."""
        mass, first, _ = (np.diff(sums) for sums in self.at(breaks))
        # a weight below the last digit of the sum is none; and a mean lies within its interval, rounded or not
        centres = self.shift + self.scale * np.divide(first, mass, out=np.zeros_like(first), where=mass > 0)
        return np.clip(centres, self.values[breaks[:-1]], self.values[breaks[1:] - 1]).astype(np.float64)

    def distinct(self) -> np.ndarray:
        """Return the positions where a new value starts, and n at the end."""
        starts = np.flatnonzero(self.values[1:] != self.values[:-1]) + 1
        return np.concatenate([[0], starts, [len(self.values)]])


def sort(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values and weights in ascending order of the values, without those that weigh nothing.

    Weights that are all zero say nothing: they are dropped for unit weights.

    Args:
        values: shape (n,), finite, floating point; float16 and the like become float32.
        weights: h, shape (n,), finite, not negative; None for the unit weight.

    >>> sort(np.array([3.0, 1.0, 2.0]), np.array([1.0, 0.0, 5.0]))
    (array([2., 3.]), array([5., 1.]))
    """
    values = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
    if weights is None or not weights.any():
        return np.sort(values), None
    assert weights.shape == values.shape, "one weight a value"
    order = np.argsort(values, kind="stable")
    heavy = weights[order]
    if heavy.all():
        return values[order], heavy
    return values[order[heavy > 0]], heavy[heavy > 0]


@compiled
def count_distinct(values: np.ndarray, limit: int) -> int:
    """Return the number of distinct ones among sorted ``values``; counting stops above ``limit``."""
    count = min(1, len(values))
    for i in range(1, len(values)):
        if values[i] != values[i - 1]:
            count += 1
            if count > limit:
                break
    return count


def prefix_sums(values: np.ndarray, weights: np.ndarray | None) -> PrefixSums:
    """Return the prefix sums of what `sort` returned; at least one value. O(n) time, 24 bytes a value."""
    shift = float(values[len(values) // 2])
    reach = max(float(values[-1]) / 2 - shift / 2, shift / 2 - float(values[0]) / 2)  # halves do not overflow
    scale = float(2.0 ** np.clip(np.frexp(reach)[1], -1000, 1000)) if reach > 0 else 1.0
    if weights is None:
        sums = unit_sums(values, shift, scale)
    else:
        sums = weighted_sums(values, weights, float(weights.max()), shift, scale)
    return PrefixSums(values, *sums, shift, scale)


@compiled
def unit_sums(values: np.ndarray, shift: float, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of `prefix_sums` for the unit weight."""
    n = len(values)
    mass, first, second = np.arange(n + 1) * 1.0, np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n // 2, n):
        z = values[i] / scale - shift / scale
        first[i + 1] = first[i] + z
        second[i + 1] = second[i] + z * z
    for i in range(n // 2 - 1, -1, -1):
        z = values[i] / scale - shift / scale
        first[i] = first[i + 1] - z
        second[i] = second[i + 1] - z * z
    return mass, first, second


@compiled
def weighted_sums(
    values: np.ndarray, weights: np.ndarray, unit: float, shift: float, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of `prefix_sums`, weights in units of ``unit``."""
    n = len(values)
    mass, first, second = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n // 2, n):
        z, h = values[i] / scale - shift / scale, weights[i] / unit
        mass[i + 1] = mass[i] + h
        first[i + 1] = first[i] + h * z
        second[i + 1] = second[i] + h * z * z
    for i in range(n // 2 - 1, -1, -1):
        z, h = values[i] / scale - shift / scale, weights[i] / unit
        mass[i] = mass[i + 1] - h
        first[i] = first[i + 1] - h * z
        second[i] = second[i + 1] - h * z * z
    return mass, first, second
