"""Quantization to a uniform grid, at the best trade of error for entropy-coded bits."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.csteps.arrays import array_of, importances_of
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.warm import distortion, of_kind
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import Code, GridCode, Values
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS, folded
from laconic.format.coding.ungerboeck import STATES
from laconic.models.params import Params, dtype_name
from laconic.quantize.lattice import Quantized, Quantizer, prepare
from laconic.quantize.lattice.quantized import SLOPE
from laconic.quantize.lattice.secant import next_step
from laconic.theory.metric import Metrics

FARTHEST = 2.0**30
"""Weights stay below so many steps."""

ROUNDS, ENOUGH = 60, 1e-6
"""Rounds at one step end after so many, or when the objective falls by less than this share."""

NEAR_BITS, SETTLED, TRIALS = 2e-3, 4, 24
"""The search for a step ends this close below the bits that are asked for, after so many trials, or so many at most."""


_Tensor = tuple[str, np.ndarray, np.ndarray, str]  # name, values, importances (none: empty), dtype


@final
@dataclass(frozen=True)
class UniformGrid(Compression):
    """Each weight is an integer times a step, moved by one of six offsets; tensors given together share these.

        min over v, o   Σ_t Σ_i h_ti (w_ti − ŵ_ti)² + rate · step² · Σ_t bits(v_t)         with ``step``
        min over v, o, step   Σ_t Σ_i h_ti (w_ti − ŵ_ti)²   subject to   Σ_t bits(v_t) ≤ bits · Σ_t n_t   with ``bits``

        ŵ = (v + sgn(v) o_min(|v|, 6)) · step

    bits(v) is what the integers cost by the tables of their code; the tables themselves and headers are not in it, and
    weigh on small tensors. Weights near 0 go to 0 although ±1 may be nearer (the dead zone), for it is the cheapest.
    With ``states`` the integers are a path through a trellis (entropy-coded trellis-coded quantization), which gains
    up to 0.2 bit a weight over a grid without, for cells half as wide.

    Method: `laconic.quantize.lattice`: integers, code lengths, offsets and step in turn, each the best given the
    others; not exact, but with ``rate`` 0 and no trellis weights go to the nearest level. With ``bits``, a secant for
    the step at the rate (ln 2)/6 · cell² · mean h, the slope of the distortion at high rate, by which error and bits
    are traded best there. O(P) a round, O(P · states) with a trellis. ``warm`` is kept where it is better and lies on
    the same step, or within the bits.

    Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables" (IEEE Trans. IT
    42, 1996) for dead zone and offsets; Gish & Pierce 1968 for the 0.25 bit that any grid loses at high rate; Fischer
    & Wang, "Entropy-constrained trellis-coded quantization" (IEEE Trans. IT 38, 1992).

    Args:
        step: width of a level, in the units of the weights.
        bits: bits per weight. Exactly one of the two is given.
        rate: with ``step``, what one bit costs, in units of step²; 0.1 to 0.2 is the natural price of a bit, four
            times that with a trellis.
        states: of the trellis: 4, 8, 16, 32 or 64; 1 for none.
        cosine: transform kernels where that helps; not with importances.
        scales: give rows, columns and positions tables by their variance where that helps.
        rows: with ``bits``, each row (axis 0) has a step of its own, in proportion to its root mean square. One step
            for all, the default, is better for the squared error.

    Raises:
        PlanError: when an argument is out of range, or not exactly one of ``step`` and ``bits`` is given.

    >>> import torch
    >>> UniformGrid(step=0.5).project({"w": torch.tensor([0.1, 0.5, -1.0])})["w"].decompress()
    array([ 0. ,  0.5, -1. ], dtype=float32)
    """

    step: float | None = None
    bits: float | None = None
    rate: float = 0.0
    states: int = 1
    cosine: bool = False
    scales: bool = False
    rows: bool = False

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
        if self.rows and self.bits is None:
            raise PlanError("rows have steps of their own within bits, not with a step")
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `GridCode` a tensor, all with the same step, offsets and tables.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights, and for those of more than 2³⁰ steps.
        """
        if not weights:
            return {}
        values = {name: array_of(name, tensor) for name, tensor in weights.items()}
        heavy = importances_of(weights, metrics or {})
        sources = [(name, values[name], heavy[name], dtype_name(weights[name])) for name in weights]
        warm_codes = of_kind(GridCode, warm, weights)
        warm_step = next(iter(warm_codes.values())).step.array[0] if warm_codes and not self.rows else None
        new = self._at(self.step, sources) if self.step is not None else self._within(sources, warm_step)
        if warm_codes is None or not self._allows(warm_codes):
            return dict(new)
        worse = self._objective(warm_codes, weights, metrics) < self._objective(new, weights, metrics)
        return dict(warm_codes if worse else new)

    def _at(self, step: float, tensors: Sequence[_Tensor]) -> dict[str, GridCode]:
        """Return the codes at a given step."""
        for name, array, _, _ in tensors:
            largest = _largest([array])
            if largest * self._gain([array]) > step * FARTHEST:
                raise WeightsError(
                    f"{name}: a weight of {largest:.3g} is more than 2^30 steps of {step:.3g}; "
                    "take a larger step, or say bits"
                )
        quantizer = self._quantizer(tensors, step * self._cell, self.rate / self._cell**2, stretching=False)
        *_, best = _descent(quantizer, quantizer.first(step), self.rate)
        return best.codes()

    def _within(self, tensors: Sequence[_Tensor], warm_step: float | None) -> dict[str, GridCode]:
        """Return nearly the best codes of at most so many bits a weight."""
        widths = {name: _widths(array) if self.rows else np.ones(1) for name, array, _, _ in tensors}
        tensors = [_narrowed(tensor, widths[tensor[0]]) for tensor in tensors]
        largest = _largest([array for _, array, _, _ in tensors])
        shift = math.frexp(largest)[1] - 1 if largest else 0
        scaled = [(name, np.asarray(np.ldexp(array, -shift)), h, dtype) for name, array, h, dtype in tensors]
        quantized = self._searched(
            scaled, warm_step and warm_step / 2.0**shift
        )  # scaled by a power of two, lest squares overflow
        step = min(quantized.step * 2.0**shift, sys.float_info.max)
        one = Values(np.array([step]))
        codes = quantized.codes()
        return {n: replace(c, step=Values(step * widths[n]) if self.rows else one) for n, c in codes.items()}

    def _searched(self, tensors: Sequence[_Tensor], warm_step: float | None) -> Quantized:
        """Return what `_within` does, from ``warm_step`` on, for values of which the largest is 1 to 2 (or 0)."""
        assert self.bits is not None, "bits are what is searched for"
        count = max(sum(array.size for _, array, _, _ in tensors), 1)
        spread = math.sqrt(sum(float(np.square(v, dtype=np.float64).sum()) for _, v, _, _ in tensors) / count) or 1.0
        mean = sum(float(h.sum()) if h.size else v.size for _, v, h, _ in tensors) / count
        step = warm_step or spread * 2.0 ** (2 - self.bits) / self._cell
        finest = 2.0 * self._gain([array for _, array, _, _ in tensors]) / FARTHEST
        step = min(max(step, finest), 16.0)
        quantizer = self._quantizer(tensors, step * self._cell, SLOPE * mean, stretching=True)
        best = self._quantizer(tensors, 16.0, 0.0, stretching=True).first(16.0)  # nothing but zeros
        quantized, seen = None, list[tuple[float, float]]()
        for trial in range(TRIALS):
            quantized = quantizer.first(step) if quantized is None else quantizer.again(quantized, step)
            over = quantized.bits / count - self.bits
            seen.append((math.log2(step), over))
            if over <= 0 and quantized.distortion < best.distortion:
                best = quantized
            if trial >= SETTLED and -NEAR_BITS < over <= 0:
                break
            step = 2.0 ** next_step(seen, -0.8, -NEAR_BITS / 2 * (1 + trial / 8))
            step = min(max(step, finest), 16.0)
        return best

    @property
    def _cell(self) -> int:
        """The width of a cell in steps: with a trellis every second level is open in each state."""
        return 1 if self.states == 1 else 2

    def _gain(self, values: Sequence[np.ndarray]) -> float:
        """Return how many times larger than the weights what is quantized can be: a transform gathers what is alike."""
        return max((math.sqrt(math.prod(array.shape[2:])) for array in values if self.cosine), default=1.0) or 1.0

    def _quantizer(self, tensors: Sequence[_Tensor], cell: float, rate: float, *, stretching: bool) -> Quantizer:
        """Return the quantizer of these tensors."""
        axes = ROWS | COLUMNS | POSITIONS if self.scales else 0
        sources = [
            prepare(
                name,
                array,
                cell / 4,
                cosine=self.cosine and not h.size,
                scales=axes,
                importances=h if h.size else None,
                dtype=dtype,
            )
            for name, array, h, dtype in tensors
        ]
        return Quantizer(sources, STATES[self.states], rate, stretching=stretching)

    def _objective(self, codes: Mapping[str, GridCode], weights: Params, metrics: Metrics | None) -> float:
        """Return what is minimised."""
        return distortion(codes, weights, metrics) + self.penalty(codes)

    def penalty(self, codes: Codes) -> float:
        """Return what the bits cost."""
        bits = sum(code.index_bits for code in codes.values() if isinstance(code, GridCode))
        return self.rate * (self.step or 0.0) ** 2 * bits

    def _allows(self, codes: Mapping[str, GridCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        if (
            len({(not self.rows and code.step.array.tobytes(), code.model.array.tobytes()) for code in codes.values()})
            > 1
        ):
            return False
        if any((len(code.step) > 1) != (self.rows and folded(code.shape)[0] > 1) for code in codes.values()):
            return False
        if any(code.coder.model.nu != STATES[self.states] for code in codes.values()):
            return False
        if self.bits is None:
            return all(float(code.step.array[0]) == self.step for code in codes.values())
        allowed = self.bits * sum(code.size for code in codes.values())
        return sum(code.index_bits for code in codes.values()) <= allowed


def _descent(quantizer: Quantizer, first: Quantized, rate: float) -> Iterator[Quantized]:
    """Give the quantizations at one step that are each better than the last."""
    best, least = first, _cost(first, rate)
    yield best
    for _ in range(ROUNDS):
        candidate = quantizer.again(best, first.assignment.step)
        cost = _cost(candidate, rate)
        if not cost < least:
            return
        small = cost >= least * (1 - ENOUGH)
        best, least = candidate, cost
        yield best
        if small:
            return


def _cost(quantized: Quantized, rate: float) -> float:
    """Return the objective of a quantization at a given step."""
    return quantized.distortion + rate * quantized.assignment.step**2 * quantized.bits


def _widths(array: np.ndarray) -> np.ndarray:
    """Return the root mean square of each row, of float32 precision to be short in the file; 1 for rows of zeros."""
    rows = folded(array.shape)[0]
    if not array.size:
        return np.ones(max(rows, 1))
    shift = math.frexp(float(np.abs(array).max()))[1]
    squares = np.square(np.ldexp(array, -shift), dtype=np.float64).reshape(rows, -1)
    widths = np.sqrt(squares.mean(axis=1)).astype(np.float32).astype(np.float64)
    return np.where(widths > 0, np.ldexp(widths, shift), 1.0)


def _narrowed(tensor: _Tensor, widths: np.ndarray) -> _Tensor:
    """Return a tensor with its rows over their widths, and importances that keep the shares of the error."""
    name, array, h, dtype = tensor
    if len(widths) == 1 or not array.size:
        return (name, np.asarray(array / widths[0]), h, dtype) if array.size and widths[0] != 1 else tensor
    width = widths.reshape(-1, *(1,) * (array.ndim - 1))
    heavy = (h if h.size else np.ones(array.shape)) * np.square(width / widths.max())
    return name, (array / width).astype(array.dtype), heavy, dtype


def _largest(values: list[np.ndarray]) -> float:
    """Return the largest magnitude, 0 where there is none."""
    return max((float(np.abs(array).max()) for array in values if array.size), default=0.0)
