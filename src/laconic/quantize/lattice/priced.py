"""Several tensors in so many bytes, each on a step of its own: one price of a bit for all of them.

    min over v, o, tables   Σ_t Σ_i h_ti (w_ti − ŵ_ti)²   subject to   bytes of the file ≤ size

Where the error is least for its bytes, a bit buys the same everywhere: that is the price, and what is searched for.
Equal steps follow from it where cells are small. Where nearly all weights are 0 the price of a bit is many times the
square of a step, and steps are those of the weights that are left: they are given, and refitted to the integers.

Source: Chou, Lookabaugh & Gray, "Entropy-constrained vector quantization" (IEEE Trans. ASSP 37, 1989).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter

import numpy as np

from laconic.format.codes.grid import GridCode
from laconic.format.codes.streams import Values
from laconic.quantize.lattice.contexts import BELOW
from laconic.quantize.lattice.quantized import SLOPE, Quantized, Quantizer
from laconic.quantize.lattice.source import Source

Measure = Callable[[Mapping[str, GridCode]], int]
"""Codes of the tensors → bytes of the file with them."""

SAMPLE = 1 << 19
"""Weights on which prices and steps are tried; of fewer all."""

_ROUNDS, _TRIALS, _MOST = 3, 6, 20  # that learn code lengths; files that are written, and until one is small enough
_EXACT = 2.0**-7  # octaves to which a price, or a step, is found
_STEPS, _PRICES = (-26.0, 4.0), (-80.0, 60.0)  # octaves between which they lie: integers have 32 bits
_COARSER = 0.5  # octaves by which steps grow where no price is high enough
_NEAR, _WORD = 0.002, 4  # of the size, and bytes: near enough from below; the coder writes words of two


def first_codes(sources: Sequence[Source], size: int, measure: Measure, nu: int) -> dict[str, GridCode]:
    """Return codes within ``size`` bytes of which nothing is known yet: with one step, that of the water level.

    Args:
        sources: tensors with weights, the largest of which is 1 to 2.
        size: bytes that the file may have.
        measure: of codes.
        nu: 2^ν states of the trellis; 0 for none.
    """
    octaves = _level(sources, size, measure, nu)
    while True:
        narrowed = [replace(source, finer=2.0**-octaves) for source in sources]
        codes = within(narrowed, size, measure, nu, one_step=True)
        if octaves >= _STEPS[1] or measure(codes) <= size:
            return codes
        octaves += _COARSER  # integers may have been so large that their bits have no price


def _level(sources: Sequence[Source], size: int, measure: Measure, nu: int) -> float:
    """Return log₂ of the one step of all tensors whose file has ``size`` bytes at the price of small cells."""
    count = max(sum(source.size for source in sources), 1)
    mean = sum(float(s.importances.sum()) if len(s.importances) else s.size for s in sources) / count
    price = SLOPE * (mean or 1.0) * (4 if nu else 1)

    def over(octaves: float) -> float:
        step = 2.0**octaves
        rehearsal = Quantizer(sources, nu, price).rehearsal(step, SAMPLE)
        how = rehearsal.first(step).learned(step)
        trial = rehearsal.round(replace(how, rate=price))
        return float(trial.file_bytes + _beside(trial, measure) - size)

    return _least(over, 0.0, _STEPS, 2.0)


def within(
    sources: Sequence[Source], size: int, measure: Measure, nu: int, *,
    levels: Sequence[np.ndarray] | None = None, one_step: bool = False,
) -> dict[str, GridCode]:  # fmt: skip
    """Return nearly the best codes whose file has at most ``size`` bytes, or those of zeros where these take more.

    Args:
        sources: tensors with weights, each as many times finer as its step is below 1; the codes have the steps next
            to these that are best for the integers.
        size: bytes that the file may have.
        measure: of codes.
        nu: 2^ν states of the trellis; 0 for none.
        levels: integers of each tensor, row-major, whose code lengths the search begins with. Without, it begins with
            those of the nearest integers, which may be other than 0 so often that 0 is not the cheapest.
        one_step: whether the tensors share one step, which is then in the file once; it is the same for all sources.
    """
    steps = [1 / source.finer for source in sources]
    plain = Quantizer(sources, nu, stretching=one_step, below=BELOW)
    rehearsal = plain.rehearsal(1.0, SAMPLE)
    how = plain.rounding(rehearsal.scales, rehearsal.pieces, 1.0)
    if levels is not None:
        how = plain.assigned(rehearsal.scales, levels, how).learned(1.0)

    def at(octaves: float) -> Quantizer:
        return replace(plain, prices=[2.0**octaves / step**2 for step in steps])

    def tried(octaves: float) -> Quantized:
        return replace(rehearsal, quantizer=at(octaves)).round(how)

    def excess(beside: float, octaves: float) -> float:
        return float(tried(octaves).file_bytes + beside - size)

    octaves, beyond, trials = math.log2(SLOPE * min(steps) ** 2), 0.0, list[tuple[int, dict[str, GridCode]]]()
    for number in range(_MOST):
        beside = _beside(tried(octaves), measure) + beyond
        octaves = _least(partial(excess, beside), octaves, _PRICES, 0.25 if number else 2.0)
        quantized, expected = at(octaves).round(rehearsal.scales, how), size + excess(beside, octaves)
        codes = quantized.codes() if one_step else _coded(quantized)
        taken = measure(codes)
        trials.append((taken, codes))
        if number >= _ROUNDS and size - max(_NEAR * size, _WORD) <= taken <= size:
            break
        inside = [trial for trial in trials if trial[0] <= size]
        bits_are_free, nothing_helps = octaves <= _PRICES[0], octaves >= _PRICES[1]
        if (inside and (number >= _TRIALS or (number and bits_are_free))) or (not inside and nothing_helps):
            break
        beyond += taken - expected + (0 if inside else number)
        how = quantized.learned(1.0) if number < _ROUNDS else how
    inside = [trial for trial in trials if trial[0] <= size]
    return (max(inside, key=itemgetter(0)) if inside else min(trials, key=itemgetter(0)))[1]


def _coded(quantized: Quantized) -> dict[str, GridCode]:
    """Return the codes, with the step for each tensor that is best for its integers."""
    steps = (s / source.finer for s, source in zip(quantized.stretches, quantized.sources, strict=True))
    codes = quantized.codes()
    return {
        n: replace(code, step=Values(np.array([step]))) for (n, code), step in zip(codes.items(), steps, strict=True)
    }


def _beside(quantized: Quantized, measure: Measure) -> float:
    """Return the bytes of the file that are neither levels nor their tables."""
    return float(measure(quantized.frames()) - len(quantized.model.pack()))


def _least(excess: Callable[[float], float], start: float, ends: tuple[float, float], stretch: float) -> float:
    """Return nearly the least number at which a falling function is not above 0, or the end that is nearest to it.

    Args:
        excess: the function.
        start: where it is looked for first.
        ends: between which it is.
        stretch: how far from ``start`` it is looked for next; then twice as far, and so on.
    """
    near, above = start, excess(start) > 0
    while True:
        far = min(max(near + stretch if above else near - stretch, ends[0]), ends[1])
        if (excess(far) > 0) != above:
            break
        if far in ends:
            return far
        near, stretch = far, 2 * stretch
    low, high = min(near, far), max(near, far)
    while high - low > _EXACT:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
