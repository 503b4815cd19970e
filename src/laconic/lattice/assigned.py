"""Integers for one tensor, and what they cost: counts of magnitudes, and the moments that offsets and step follow from."""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.coding.compiled import compiled
from laconic.coding.fitting import MAGNITUDES
from laconic.coding.lanes import lane_count
from laconic.coding.ungerboeck import feedback
from laconic.lattice.nearest import nearest
from laconic.lattice.viterbi import paths

OFFSETS = 6
"""Offsets there are: for |v| = 1 to 5, and for 6 and more."""


@final
@dataclass(frozen=True, eq=False)
class Assignment:
    """How integers are chosen.

    Args:
        step: width of a level, in the units of the weights.
        nu: 2^ν states of the trellis; 0 for none.
        rate: what a bit costs, in units of step².
        costs: bits of each |v| in each class, float32, shape (classes, 1024).
        offsets: o of |v| = 0 to 6, in steps, float64; the first is 0.
    """

    step: float
    nu: int
    rate: float
    costs: np.ndarray
    offsets: np.ndarray

    def __call__(self, values: np.ndarray, weights: np.ndarray, classes: np.ndarray) -> "Assigned":
        """Return the integers of ``values`` (class by class), their importances ``weights`` (or none), their classes."""
        inverse = 1 / self.step
        if self.nu:
            levels = paths(
                values, weights, classes, inverse, self.costs, self.rate, self.offsets, self.nu,
                *feedback(self.nu), lane_count(len(values)),
            )  # fmt: skip
        else:
            levels = nearest(values, weights, classes, inverse, self.costs, self.rate, self.offsets)
        return Assigned.of(levels, values, weights, classes, self.step, len(self.costs))


@final
@dataclass(frozen=True, eq=False)
class Assigned:
    """Integers with their statistics.

    Args:
        levels: int64, class by class.
        counts: how often each |v| occurs in each class, those of 1023 and more together: shape (classes, 1024).
        moments: for |v| = 0 to 6 and more, a row each: Σ h, Σ h e, Σ h e², Σ h a, Σ h a², Σ h e a, with a = |v| and
            e = sgn(v) x − a.
    """

    levels: np.ndarray
    counts: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(
        cls, levels: np.ndarray, values: np.ndarray, weights: np.ndarray, classes: np.ndarray, step: float, number: int
    ) -> "Assigned":
        """Return ``levels`` with their statistics, for ``number`` classes."""
        counts, moments = np.zeros((number, MAGNITUDES), np.int64), np.zeros((OFFSETS + 1, 6))
        _statistics(levels, values, weights, classes, 1 / step, counts, moments)
        return cls(levels, counts, moments)


@compiled
def _statistics(levels, values, weights, classes, inverse, counts, moments):  # type: ignore[no-untyped-def]
    """Add up counts and moments."""
    for i in range(len(levels)):
        v = levels[i]
        a = abs(v)
        counts[classes[i], min(a, len(counts[0]) - 1)] += 1
        h = weights[i] if len(weights) else 1.0
        e = values[i] * inverse - v
        if v < 0:
            e = -e
        row = min(a, len(moments) - 1)
        moments[row, 0] += h
        moments[row, 1] += h * e
        moments[row, 2] += h * e * e
        moments[row, 3] += h * a
        moments[row, 4] += h * a * a
        moments[row, 5] += h * e * a
