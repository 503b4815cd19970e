"""The water level at which a layer takes so many bits: a secant search, on some of the rows first.

    find θ     with     bits of the file of quantize(W, Σ, θ) / (m n) = rate

log₂ θ falls by about 2 a bit. Rows do not know of each other, so that a few of them say what all would take.
"""

import math
from collections.abc import Callable

import numpy as np

from laconic.calibrate.recursion import Recursion
from laconic.calibrate.sequential import Sequential, check, quantize
from laconic.errors import PlanError, WeightsError
from laconic.format import container
from laconic.theory.rate_distortion.gaussian import water_filling_rate

TOLERANCE = 0.02
"""Bits a weight between what was asked and what is given."""

_ROWS = 256
_TRIES = 6


def bits(found: Sequential) -> int:
    """Return the bits of a file of the layer alone, all of it."""
    return container.bits({"weight": found.code})


def at_rate(weights: np.ndarray, moments: np.ndarray, rate: float, how: Recursion | None = None) -> Sequential:
    """Return ``weights`` quantized in about ``rate`` bits a weight, the whole file counted.

    Args:
        weights: W, shape (m, n).
        moments: Σ, shape (n, n).
        rate: bits a weight, met within `TOLERANCE` where the layer can.
        how: the recursion.

    Raises:
        PlanError: for a rate that is not positive.
        WeightsError, DataError: as `laconic.calibrate.sequential.quantize` does.
    """
    how = how or Recursion()
    check(weights, moments, 1.0)
    if not weights.size:
        raise WeightsError(f"weights of shape {weights.shape}: none, whatever the rate")
    if not rate > 0:
        raise PlanError(f"a rate is positive; {rate} bits were asked for")
    stride = max(len(weights) // _ROWS, 1)
    few, found = weights[::stride], list[Sequential]()

    def of_few(level: float) -> float:
        one = quantize(few, moments, level, how)
        own = 8 * len(one.code.payload)
        return own / few.size + (bits(one) - own) / weights.size

    def of_all(level: float) -> float:
        found.append(quantize(weights, moments, level, how))
        return bits(found[-1]) / weights.size

    level = _first(weights, moments, rate)
    if stride > 1:
        level = _secant(of_few, level, rate, TOLERANCE / 4, _TRIES)
    _secant(of_all, level, rate, TOLERANCE, _TRIES)
    return min(found, key=lambda one: abs(bits(one) / weights.size - rate))


def _first(weights: np.ndarray, moments: np.ndarray, rate: float) -> float:
    """Return the level of reverse water-filling at the rate less what a real code adds."""
    variance = float(np.square(weights, dtype=np.float64).mean()) if weights.size else 0.0
    spectrum = np.maximum(np.linalg.eigvalsh(moments), 0) * variance
    level = water_filling_rate(spectrum, np.ones(len(spectrum)), len(spectrum) * max(0.8 * rate, rate - 0.1)).level
    return level if level > 0 else 1.0


def _secant(function: Callable[[float], float], level: float, rate: float, tolerance: float, tries: int) -> float:
    """Return a level at which ``function``, which falls, is within ``tolerance`` of ``rate``, or the last tried."""
    at, slope, last = math.log2(level), -0.5, None
    for _ in range(tries):
        got = function(2.0**at)
        if abs(got - rate) <= tolerance:
            break
        if last is not None and last[0] != at:
            measured = (got - last[1]) / (at - last[0])
            slope = min(max(measured, -1.0), -0.05)
        last = at, got
        at += min(max((rate - got) / slope, -3.0), 3.0)
    return float(2.0**at)
