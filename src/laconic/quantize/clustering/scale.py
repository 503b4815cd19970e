"""The best scale of a given codebook: each value is replaced by the nearest of the scaled entries.

    min over a ≥ 0, z   Σ_i h_i (w_i − a c_z(i))²

For fixed z the best a is S₁/S₂ with S₁ = Σ h w c_z and S₂ = Σ h c_z², which takes S₁²/S₂ off Σ h w². As a grows, z
changes where a = w_i / m_k, m_k the midpoint of entries k and k + 1: the optimum is the best of at most P (K − 1) + 1
assignments. Alternation between a and z can stop at one that is far from it.

Many values are not swept one breakpoint after the other. With z nearest, φ(a) = 2 S₁ − a S₂ is a maximum of
falling lines, so convex: between two scales it lies below its chord, which bounds a φ(a) = Σ h w² − error from above.
Intervals of scales whose bound is below the best assignment so far are dropped, the others split, and what is left
of breakpoints at the end is tried one by one. Exact to the rounding of float64 sums. O(P log P) to sort, O(K log P)
for each scale that is looked at: a few thousand; where the error hardly depends on the scale, up to P K of them.

Source: Idelbayev, Molchanov, Shen, Yin, Carreira-Perpiñán & Alvarez, "Optimal quantization using scaled codebook"
(CVPR 2021), which sweeps. Departure: the bound.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.compiled import compiled
from laconic.quantize.clustering.prefix_sums import sort

SPLIT = 16
"""Parts of an interval of scales that may hold the optimum."""

FEW = 4096
"""Breakpoints in an interval that are tried one by one."""

SWEPT = 1 << 19
"""Breakpoints of a group that is swept, one after the other: with many entries the bound drops few intervals."""


def best_scale(values: np.ndarray, weights: np.ndarray | None, entries: np.ndarray) -> float:
    """Return a, at least 0 and in units of the values over those of the entries; 0 where nothing is gained.

    Args:
        values: w, shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None, or all zero, for the unit weight.
        entries: c, shape (k,), ascending without repeats, finite, at least one, float64.

    >>> best_scale(np.array([-3.0, 0.1, 1.0, 2.0]), None, np.array([-1.0, 0.0, 1.0]))
    2.5
    """
    reach, most = (float(np.abs(a).max(initial=0.0)) for a in (values, entries))
    if not reach or not most:
        return 0.0
    down, up = math.frexp(reach)[1], math.frexp(most)[1]
    sweep = _Sweep.of(np.ldexp(values, -down), weights, np.ldexp(entries, -up))
    return float(np.ldexp(sweep.best(), down - up))


@final
@dataclass(frozen=True, eq=False)
class _Sweep:
    """Sorted values with prefix sums of h and h w, and the entries; all of them below 1 in magnitude."""

    values: np.ndarray
    mass: np.ndarray
    first: np.ndarray
    entries: np.ndarray
    midpoints: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray | None, entries: np.ndarray) -> "_Sweep":
        """Sort; without midpoints other than 0 all that counts is the sign of a value."""
        midpoints = entries[1:] / 2 + entries[:-1] / 2
        values, heavy = sort(values, weights)
        first = np.zeros(len(values) + 1)
        if heavy is None:
            np.cumsum(values, dtype=np.float64, out=first[1:])
            return cls(values, np.arange(len(values) + 1.0), first, entries, midpoints)
        heavy = heavy.astype(np.float64) / float(heavy.max())
        np.cumsum(heavy * values, out=first[1:])
        return cls(values, np.concatenate([[0.0], np.cumsum(heavy)]), first, entries, midpoints)

    def at(self, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return S₁ and S₂ of the nearest entries at each scale, and how many values lie up to each midpoint."""
        bounds = np.multiply.outer(scales, self.midpoints)
        with np.errstate(over="ignore"):
            cuts = bounds.astype(self.values.dtype)
        cuts = np.where(cuts > bounds, np.nextafter(cuts, -np.inf, dtype=cuts.dtype), cuts)  # w ≤ cut as w ≤ bound
        places = np.searchsorted(self.values, cuts, side="right")
        ends = np.full((len(scales), 1), len(self.values))
        edges = np.concatenate([0 * ends, places, ends], axis=1)
        return (
            np.diff(self.first[edges], axis=1) @ self.entries,
            np.diff(self.mass[edges], axis=1) @ np.square(self.entries),
            places,
        )

    def best(self) -> float:
        """Return the best scale."""
        smallest = np.abs(self.entries[self.entries != 0]).min()
        scale, gain = self._best_of(*self.at(np.zeros(1))[:2], 0.0, 0.0)
        scales = np.linspace(0.0, 1.0 / smallest, 4 * SPLIT)  # a = Σ h w c / Σ h c² is no larger, for |w| < 1
        left, right = scales[:-1], scales[1:]
        while len(left):
            (s1, s2, low), (t1, t2, high) = self.at(left), self.at(right)
            scale, gain = self._best_of(np.append(s1, t1), np.append(s2, t2), scale, gain)
            inside = np.abs(high - low).sum(axis=1)
            open_ = (inside > 0) & (_bound(left, right, 2 * s1 - left * s2, 2 * t1 - right * t2) > gain * (1 + 1e-13))
            open_ &= right - left > 1e-15 * right
            few = open_ & (inside <= FEW)
            tried = self._breakpoints(left[few], right[few], low[few], high[few])
            scale, gain = self._best_of(*self.at(tried)[:2], scale, gain)
            parts = np.linspace(left[open_ & ~few], right[open_ & ~few], SPLIT + 1)
            left, right = parts[:-1].reshape(-1), parts[1:].reshape(-1)
        return scale

    def _best_of(self, s1: np.ndarray, s2: np.ndarray, scale: float, gain: float) -> tuple[float, float]:
        """Return the scale and the gain of the best assignment, or what was found before."""
        gains = np.where((s1 > 0) & (s2 > 0), s1, 0.0) ** 2 / np.where(s2 > 0, s2, 1.0)
        if not len(gains) or not gains.max() > gain:
            return scale, gain
        best = int(gains.argmax())
        return float(s1[best] / s2[best]), float(gains[best])

    def _breakpoints(self, left: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return a scale between any two neighbouring breakpoints inside the intervals."""
        points = [left, right]
        for k, midpoint in enumerate(self.midpoints):
            starts, ends = np.minimum(low[:, k], high[:, k]), np.maximum(low[:, k], high[:, k])
            for start, end in zip(starts, ends, strict=True):
                points.append(self.values[start:end].astype(np.float64) / midpoint)
        ordered = np.unique(np.concatenate(points))
        middles: np.ndarray = ordered[1:] / 2 + ordered[:-1] / 2
        return middles


def _bound(left: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the largest a · chord(a) between ``left`` and ``right``, the chord from ``low`` there to ``high``."""
    slope = np.minimum((high - low) / (right - left), 0.0)
    level = low - slope * left
    rising = level + 2 * slope * right >= 0  # up to the right end
    top = np.where(rising, right, np.maximum(left, level / np.where(rising, 1.0, -2 * slope)))
    bound: np.ndarray = top * (level + slope * top)
    return bound


def group_scales(values: np.ndarray, weights: np.ndarray | None, entries: np.ndarray, length: int) -> np.ndarray:
    """Return the best scale of each group of ``length`` values, the last perhaps shorter; float64.

    Groups are swept one breakpoint after the other, very large ones go through `best_scale`.

    >>> group_scales(np.array([1.0, 3.0, -7.0]), None, np.array([-1.0, 1.0]), 2)
    array([2., 7.])
    """
    starts = range(0, len(values), length)
    if length * len(entries) > SWEPT:
        return np.array([
            best_scale(values[at : at + length], None if weights is None else weights[at : at + length], entries)
            for at in starts
        ])  # fmt: skip
    heavy = np.zeros(0) if weights is None else weights.astype(np.float64)
    return _swept(values, heavy, entries.astype(np.float64), length)


@compiled
def _swept(values: np.ndarray, weights: np.ndarray, entries: np.ndarray, length: int) -> np.ndarray:
    """Sweep each group from large scales to small: S₁ and S₂ only grow, so that no digits cancel."""
    n, k = len(values), len(entries)
    groups = (n + length - 1) // length
    scales, h = np.zeros(groups), np.ones(length)
    most = max(abs(entries[0]), abs(entries[k - 1]))
    points, place, change = np.empty(length * k), np.empty(length * k, np.int64), np.empty(length * k, np.int64)
    for g in range(groups):
        start, end = g * length, min(n, g * length + length)
        if len(weights):
            top = weights[start:end].max()
            for i in range(start, end):
                h[i - start] = weights[i] / top if top > 0 else 1.0
        reach, first = 0.0, 0
        for i in range(start, end):
            reach = max(reach, abs(values[i]))
        if reach == 0.0 or most == 0.0:
            continue
        s1, s2, count = 0.0, 0.0, 0
        for i in range(start, end):
            w = values[i] / reach
            entry = 0 if w > 0 else k - 1
            step = 1 if w > 0 else -1  # from the innermost entry on its side outwards
            inner = True
            while 0 <= entry + step < k:
                low = min(entry, entry + step)
                midpoint = entries[low] / most / 2 + entries[low + 1] / most / 2
                if midpoint * step > 0:
                    if inner:
                        inner = False
                        first = entry
                    if w != 0:
                        points[count], place[count], change[count] = -w / midpoint, i, low if step > 0 else -low - 1
                        count += 1
                entry += step
            if inner:
                first = entry
            c = entries[first] / most
            s1 += h[i - start] * w * c
            s2 += h[i - start] * c * c
        best, gain = 0.0, 0.0
        if s1 > 0 and s2 > 0:
            best, gain = s1 / s2, s1 * s1 / s2
        for t in np.argsort(points[:count], kind="mergesort"):
            low = change[t] if change[t] >= 0 else -change[t] - 1
            a, b = entries[low] / most, entries[low + 1] / most
            w, weight = values[place[t]] / reach, h[place[t] - start]
            s1 += weight * abs(w) * (b - a)
            s2 += weight * abs(b * b - a * a)
            if s1 > 0 and s2 > 0 and s1 * s1 > gain * s2:
                best, gain = s1 / s2, s1 * s1 / s2
        scales[g] = best * reach / most
    return scales
