"""Integers for one tensor: how often each occurs, and the moments that offsets and step follow from."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.compiled import compiled
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.levels import DIRECT, SIZES
from laconic.format.coding.ungerboeck import feedback
from laconic.quantize.lattice.abreast import abreast
from laconic.quantize.lattice.scalar import nearest
from laconic.quantize.lattice.viterbi import paths

OFFSETS = 6
"""Offsets there are: for |v| = 1 to 5, and for 6 and more."""

_ALIKE = np.zeros(0)  # importances of weights that all count the same
_BEYOND = 3  # steps from a weight to an integer of its subset, with its offset, at most


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

    def __call__(
        self, values: np.ndarray, weights: np.ndarray, classes: np.ndarray, parities: int | None = None
    ) -> "Assigned":
        """Return the integers of ``values``, class by class, with importances ``weights`` (or none).

        Even and odd ones are counted apart where there is a trellis, or where ``parities`` is 2.
        """
        inverse = 1 / self.step
        lanes = lane_count(len(values))
        levels = np.empty(len(values), self._shortest(values) if lanes > 1 else np.int32)
        if self.nu:
            kernel = abreast if lanes > 1 else paths
            kernel(
                values, weights, classes, inverse, self.costs, self.rate, self.offsets, self.nu,
                *feedback(self.nu), lanes, levels,
            )  # fmt: skip
        else:
            nearest(values, weights, classes, inverse, self.costs, self.rate, self.offsets, levels)
        return Assigned.of(
            levels, values, weights, classes, self.step, (len(self.costs), parities or (2 if self.nu else 1))
        )

    def _shortest(self, values: np.ndarray) -> type[np.signedinteger]:
        """Return the shortest type that holds the integers of all values: a byte, where four would be most of it."""
        cheaper = math.sqrt(self.rate * float(self.costs.max()))  # steps that bits are worth at most
        return _holding(max(float(values.max()), -float(values.min())) / self.step + cheaper + _BEYOND)


@final
@dataclass(frozen=True, eq=False)
class Assigned:
    """Integers with their statistics.

    Args:
        levels: class by class; int32, or shorter.
        counts: how often each size occurs in each class and of each parity, shape (classes, parities, 128).
        moments: for |v| = 0 to 6 and more, a row each: Σ h, Σ h e, Σ h e², Σ h a, Σ h a², Σ h e a, with a = |v| and
            e = sgn(v) x − a.
        plain: the same with h = 1.
    """

    levels: np.ndarray
    counts: np.ndarray
    moments: np.ndarray
    plain: np.ndarray

    @classmethod
    def of(
        cls, levels: np.ndarray, values: np.ndarray, weights: np.ndarray, classes: np.ndarray, step: float,
        tables: tuple[int, int],
    ) -> "Assigned":  # fmt: skip
        """Return ``levels`` with their statistics, for so many classes and parities."""
        counts, moments = np.zeros((*tables, SIZES), np.int64), np.zeros((OFFSETS + 1, 6))
        _statistics(levels, values, weights, classes, 1 / step, counts, moments)
        plain = moments
        if len(weights):
            plain = np.zeros_like(moments)
            _statistics(levels, values, _ALIKE, classes, 1 / step, np.zeros_like(counts), plain)
        return cls(levels, counts, moments, plain)

    def packed(self) -> "Assigned":
        """Return the same with levels of the shortest type that holds them: mostly a byte each."""
        top = max(int(self.levels.max(initial=0)), -int(self.levels.min(initial=0)))
        return replace(self, levels=self.levels.astype(_holding(top), copy=False))


def _holding(top: float) -> type[np.signedinteger]:
    """Return the shortest type of integers up to ``top``."""
    return next((kind for kind in (np.int8, np.int16) if top <= np.iinfo(kind).max), np.int32)


@compiled
def _statistics(levels, values, weights, classes, inverse, counts, moments):  # type: ignore[no-untyped-def]
    """Add up counts and moments."""
    halved, far = counts.shape[1] - 1, len(moments) - 1
    for i in range(len(levels)):
        v = int(levels[i])
        a = abs(v)
        m = a >> halved
        if m >= DIRECT:
            bits = 2
            while m >> bits >= 8:
                bits += 1
            m = DIRECT + 4 * (bits - 2) + ((m >> bits) & 3)
        counts[classes[i], a & halved, m] += 1
        h = weights[i] if len(weights) else 1.0
        e = values[i] * inverse - v
        if v < 0:
            e = -e
        row = min(a, far)
        moments[row, 0] += h
        moments[row, 1] += h * e
        moments[row, 2] += h * e * e
        if a >= far:
            moments[far, 3] += h * a
            moments[far, 4] += h * a * a
            moments[far, 5] += h * e * a
    for a in range(far):  # all magnitudes of the row are one
        moments[a, 3] = moments[a, 0] * a
        moments[a, 4] = moments[a, 0] * a * a
        moments[a, 5] = moments[a, 1] * a
