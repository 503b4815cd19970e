"""What offsets and steps follow from: moments of what integers leave of the weights.

A row for |v| = 0 to 6 and more: Σ h, Σ h e, Σ h e², Σ h a, Σ h a², Σ h e a, as `Assigned` has them.
"""

from collections.abc import Sequence

import numpy as np

from laconic.format.coding.model import UNIT
from laconic.quantize.lattice.assigned import OFFSETS

LARGEST_OFFSET = 127


def refitted(moments: np.ndarray, *, moving: bool, stretching: bool) -> tuple[np.ndarray, float, float]:
    """Return the best offsets (int8, in units of 1/256 step), the factor of the step that is best then, the distortion.

    Offsets are weighted means of what is left, to the nearest unit; the factor is Σ h x r / Σ h r², r the levels moved.
    """
    mass, first = moments[:, 0], moments[:, 1]
    means = np.divide(first, mass, out=np.zeros(len(mass)), where=mass > 0)
    units = np.clip(np.rint(means * UNIT), -LARGEST_OFFSET, LARGEST_OFFSET) * moving
    units[0] = 0
    _, reached, aligned = map(float, _products(moments, units / UNIT))
    stretch = aligned / reached if stretching and reached > 0 and aligned > 0 else 1.0
    offsets = units[1:].astype(np.int8)
    return (offsets if offsets.any() else offsets[:0]), stretch, missed(moments, offsets, stretch)


def missed(moments: np.ndarray, offsets: np.ndarray, stretch: float) -> float:
    """Return the distortion, in steps², of integers with these moments, offsets (units of 1/256) and factor."""
    return missed_each([moments], offsets, stretch)[0]


def missed_each(moments: Sequence[np.ndarray], offsets: np.ndarray, stretch: float) -> list[float]:
    """Return what `missed` does, for each of several tensors at once."""
    left, reached, aligned = _products(np.array(moments).reshape(-1, OFFSETS + 1, 6), moved_by(offsets))
    each: list[float] = np.maximum(
        left - 2 * (stretch - 1) * (aligned - reached) + (stretch - 1) ** 2 * reached, 0.0
    ).tolist()
    return each


def stretches_of(moments: Sequence[np.ndarray], offsets: np.ndarray) -> list[float]:
    """Return for each tensor the factor of its step that is best for its integers; 1 where all of them are 0."""
    _, reached, aligned = _products(np.array(moments).reshape(-1, OFFSETS + 1, 6), moved_by(offsets))
    good = (reached > 0) & (aligned > 0)
    stretches: list[float] = np.divide(aligned, reached, out=np.ones(len(reached)), where=good).tolist()
    return stretches


def moved_by(offsets: np.ndarray) -> np.ndarray:
    """Return the offset of each |v| = 0 to 6, in steps."""
    o = np.zeros(OFFSETS + 1)
    o[1 : 1 + len(offsets)] = offsets / UNIT
    return o


def _products(moments: np.ndarray, o: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Σ h (x − r)² where the step stays, Σ h r² and Σ h x r, r the levels moved by ``o``; shape (tensors,)."""
    mass, first, second, level, square, cross = np.moveaxis(moments, -1, 0)
    left = (second - 2 * o * first + o * o * mass).sum(axis=-1)
    reached = (square + 2 * o * level + o * o * mass).sum(axis=-1)
    return left, reached, (square + o * level + cross + o * first)[..., 1:].sum(axis=-1)
