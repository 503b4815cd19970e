"""Quantization to a uniform grid, at the best trade of error for entropy-coded bits."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from laconic.clustering.grid import Gridded, grid
from laconic.codes import Code, GridCode, Values
from laconic.codes.grid import multiples
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.warm import distortion, of_kind
from laconic.errors import PlanError, WeightsError
from laconic.metric import Metrics, diagonal_of
from laconic.params import Params, dtype_name, require_finite, to_numpy

FARTHEST = 2.0**40
"""Weights stay below so many steps: then an integer and its offset fit exactly into a float."""

SLOPE = math.log(2) / 6
"""−dD/dR in units of step² where the step is small: D = step²/12 and a bit halves the step."""

NEAR_BITS, TRIALS = 5e-4, 24
"""The search for a step ends this close below the bits that are asked for, or after so many trials."""


@final
@dataclass(frozen=True)
class UniformGrid(Compression):
    """Each weight is an integer times a step, moved by one of three offsets; tensors given together share these.

        min over q, o   Σ_t Σ_i h_ti (w_ti − ŵ_ti)² + rate · step² · Σ_t bits(q_t)         with ``step``
        min over q, o, step   Σ_t Σ_i h_ti (w_ti − ŵ_ti)²   subject to   Σ_t bits(q_t) ≤ bits · Σ_t n_t   with ``bits``

        ŵ = (q + sgn(q) o_min(|q|, 3)) · step

    bits(q) is the order-0 empirical entropy of a tensor's integers, 64 bits more for each that is too rare for a
    symbol of its own; tables and headers are not in it, and weigh on small tensors. Weights near 0 go to 0 although
    ±1 may be nearer (the dead zone), for it is the cheapest.

    Method: `laconic.clustering.grid`: a local optimum by descent. With ``bits``, a bisection for the least step whose
    optimum fits at the rate (ln 2)/6 · mean h, the slope of the distortion at high rate, by which error and bits are
    traded best there; then the step is refitted by weighted least squares. 4 to 60 rounds of O(P), most where
    importances are uneven; with ``bits`` that for 4 steps or so, 24 at most. Not exact, but with ``rate`` 0 weights
    go to the nearest level. ``warm`` is kept where it is better and lies on the same step, or within the bits.

    Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables" (IEEE Trans. IT
    42, 1996) for dead zone and offsets; Gish & Pierce 1968 for the 0.25 bit that any grid loses at high rate.

    Args:
        step: width of a cell, in the units of the weights.
        bits: bits per weight. Exactly one of the two is given.
        rate: with ``step``, what one bit costs, in units of step²; 0.1 to 0.2 is the natural price of a bit.

    Raises:
        PlanError: when an argument is out of range, or not exactly one of ``step`` and ``bits`` is given.

    >>> UniformGrid(step=0.5).project({"w": torch.tensor([0.1, 0.5, -1.0])})["w"].decompress()
    array([ 0. ,  0.5, -1. ], dtype=float32)
    """

    step: float | None = None
    bits: float | None = None
    rate: float = 0.0

    def __post_init__(self) -> None:
        if (self.step is None) == (self.bits is None):
            raise PlanError("give exactly one of step (the width of the grid) and bits (per weight)")
        if self.step is not None and not 1e-300 < self.step < math.inf:
            raise PlanError(f"step is the width of the grid, above 1e-300 and finite, not {self.step}")
        if self.bits is not None and not 0 <= self.bits < math.inf:
            raise PlanError(f"bits per weight are 0 or more and finite, not {self.bits}")
        if not 0 <= self.rate < math.inf:
            raise PlanError(f"rate is the price of a bit in units of step², 0 or more and finite, not {self.rate}")
        if self.bits is not None and self.rate:
            raise PlanError(f"rate = {self.rate} goes with a step; with bits the price follows from them")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `GridCode` a tensor, all with the same step and offsets.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights, and for those of more than 2⁴⁰ steps.
        """
        values = {name: _flat(name, tensor) for name, tensor in weights.items()}
        heavy = _importances(weights, metrics or {})
        if self.step is not None:
            self._require_range(values, self.step)
            step = self.step
            found = grid(list(values.values()), heavy, step, self.rate)
        else:
            step, found = _within(list(values.values()), heavy, self.bits or 0.0)
        new = _encode(weights, found, step)
        last = of_kind(GridCode, warm, weights)
        if last is None or not self._allows(last):
            return dict(new)
        worse = self._objective(last, weights, metrics) < self._objective(new, weights, metrics)
        return dict(last if worse else new)

    def _objective(self, codes: Mapping[str, GridCode], weights: Params, metrics: Metrics | None) -> float:
        """Return what is minimised."""
        price = self.rate * (self.step or 0.0) ** 2
        return distortion(codes, weights, metrics) + price * sum(code.index_bits for code in codes.values())

    def _allows(self, codes: Mapping[str, GridCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        steps = {float(code.step.array[0]) for code in codes.values()}
        if len(steps) > 1 or len({code.offsets.array.tobytes() for code in codes.values()}) > 1:
            return False
        if self.bits is None:
            return steps <= {self.step}
        allowed = self.bits * sum(code.size for code in codes.values())
        return sum(code.index_bits for code in codes.values()) <= allowed

    @staticmethod
    def _require_range(values: Mapping[str, np.ndarray], step: float) -> None:
        """Raise `WeightsError` where a weight is more than 2⁴⁰ steps."""
        for name, array in values.items():
            largest = _largest([array])
            if largest > step * FARTHEST:
                raise WeightsError(
                    f"{name}: a weight of {largest:.3g} is more than 2^40 steps of {step:.3g}; "
                    "take a larger step, or say bits"
                )


def _within(values: list[np.ndarray], heavy: list[np.ndarray], bits: float) -> tuple[float, Gridded]:
    """Return nearly the least step whose quantization takes at most ``bits`` a weight, and that quantization."""
    largest = _largest(values)
    if not largest:
        return 1.0, grid(values, heavy, 1.0, 0.0)
    shift = math.frexp(largest)[1] - 1  # by a power of two, exactly, lest squares or quotients leave the floats
    scaled = [np.ldexp(array, -shift) for array in values]
    step, found = _searched(scaled, heavy, bits)
    if not any(q.any() for q in found.levels):
        return 1.0, found
    return min(_refitted(scaled, heavy, step, found) * 2.0**shift, sys.float_info.max), found


def _searched(values: list[np.ndarray], heavy: list[np.ndarray], bits: float) -> tuple[float, Gridded]:
    """Return what `_within` does, before the step is refitted, for values of which the largest is 1 to 2.

    The entropy falls by about one bit for each doubling of the step where that is small, and faster where it is large:
    a secant in the logarithm of the step, kept in the bracket.
    """
    largest, count = _largest(values), sum(map(len, values))
    rate = SLOPE * sum(float(h.sum()) if len(h) else len(w) for w, h in zip(values, heavy, strict=True)) / count
    high, low, known = 4 * largest, largest / FARTHEST, False  # at the high end every weight is 0; is low too fine?
    step, best = high, grid(values, heavy, high, 0.0)
    spread = math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in values) / count)
    trial = min(max(spread * 2.0 ** (2 - bits), low), high / 2)
    slope, last = -1.0, (math.inf, math.inf)
    for _ in range(TRIALS):
        found = grid(values, heavy, trial, rate)
        over = found.bits / count - bits
        if found.bits <= bits * count:
            high, step, best = trial, trial, found
            if -over < NEAR_BITS or trial <= low:
                break
        else:
            low, known = trial, True
        if known and high < low * (1 + 1e-4):
            break
        point = math.log2(trial), over
        if abs(point[0] - last[0]) < 1 and over != last[1]:
            slope = min(max((over - last[1]) / (point[0] - last[0]), -8.0), -0.5)
        last = point
        aim = trial * 2.0 ** min(max(-(over + NEAR_BITS / 2) / slope, -1.0), 1.0)
        inside = low < aim < high if known else low <= aim < high
        trial = aim if inside else math.sqrt(low) * math.sqrt(high) if known else low
    return step, best


def _refitted(values: list[np.ndarray], heavy: list[np.ndarray], step: float, found: Gridded) -> float:
    """Return the step that is best for the integers and offsets found: `Σ h w r / Σ h r²`, r in units of the step."""
    first = second = 0.0
    for array, h, levels in zip(values, heavy, found.levels, strict=True):
        r = multiples(levels, found.offsets)
        weighted = h * r if len(h) else r
        first += float(np.dot(weighted, array / step))
        second += float(np.dot(weighted, r))
    return step * first / second if second > 0 and first > 0 else step


def _encode(weights: Params, found: Gridded, step: float) -> dict[str, GridCode]:
    """Return the codes, step and offsets one object for all; offsets that are all 0 are left out."""
    width, offsets = Values(np.array([step])), Values(found.offsets if found.offsets.any() else np.zeros(0, np.int8))
    return {
        name: GridCode.of(tuple(tensor.shape), dtype_name(tensor), width, offsets, levels, reach)
        for (name, tensor), levels, reach in zip(weights.items(), found.levels, found.reaches, strict=True)
    }


def _flat(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Return the weights as float32 or float64, shape (n,)."""
    require_finite(name, tensor)
    array = to_numpy(tensor).reshape(-1)
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def _importances(weights: Params, metrics: Metrics) -> list[np.ndarray]:
    """Return h for each tensor as float64, shape (n,), or (0,) for the unit weight, which is also that of all zeros."""
    given = [diagonal_of(metrics, name, tensor) for name, tensor in weights.items()]
    found = [np.zeros(0) if h is None else to_numpy(h.double()).reshape(-1) for h in given]
    weighted = any(h is None and tensor.numel() for h, tensor in zip(given, weights.values(), strict=True))
    return found if weighted or any(h.any() for h in found) else [np.zeros(0) for _ in found]


def _largest(values: list[np.ndarray]) -> float:
    """Return the largest magnitude, 0 where there is none."""
    return max((float(np.abs(array).max()) for array in values if len(array)), default=0.0)
