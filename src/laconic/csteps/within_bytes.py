"""Quantization of several tensors to a file of so many bytes: entropy-constrained, with one price of a bit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.arrays import array_of, importances_of
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.warm import distortion, of_kind
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code, GridCode, Values
from laconic.format.coding.ungerboeck import STATES
from laconic.models.params import Params, dtype_name
from laconic.quantize.lattice import Source, prepare
from laconic.quantize.lattice.contexts import contexts
from laconic.quantize.lattice.priced import first_codes, within
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class Rest:
    """What a file holds beside the tensors that are quantized.

    Args:
        codes: of its other tensors; `WithinBytes.beside` gives them.
        metadata: text.
        names: every name of the file, in its order, with the one of its tensor, where a tensor has several.
    """

    codes: Mapping[str, Code] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class WithinBytes(Compression):
    """All tensors together in a file of at most ``size`` bytes, each an integer grid with a step of its own.

        min over v, o, steps   Σ_t Σ_i h_ti (w_ti − ŵ_ti)²   subject to   bytes of the file ≤ size

        ŵ_t = (v + sgn(v) o_min(|v|, 6)) · step_t

    Everything is counted: integers, tables, steps, names, headers, and what the file holds beside these tensors. Where
    a byte is worth most is one question for all of them: rows, columns, filters and tensors that are not worth their
    bytes become 0 by themselves. All tensors have one step where that is better than to store several.

    Method: at one price of a bit, the same for all tensors, integers and code lengths in turn, and then the price that
    takes the size (`laconic.quantize.lattice.priced`); steps are refitted to the integers, and classes of rows and
    columns are those of the last integers (`laconic.quantize.lattice.contexts`). Not exact. O(P) a round, some 60 of
    them on at most 2¹⁹ of the weights, and 6 on all. The first steps are those of one water level; with ``warm`` steps
    and classes are those of its codes, so that on the path of the LC algorithm they follow the weights. ``warm`` is
    kept where it is nearer and no larger.

    Source: the constrained form of `min L(w) + λ R(Θ)`; Chou, Lookabaugh & Gray, "Entropy-constrained vector
    quantization" (IEEE Trans. ASSP 37, 1989), for the C step at a price.

    Args:
        size: bytes of the file: of one with these tensors alone, or of that which ``rest`` says.
        states: of the trellis: 4, 8, 16, 32 or 64; 1 for none, which is as good below a bit a weight.
        rest: what else the file holds, where it is to be counted.

    Raises:
        PlanError: when an argument is out of range.

    >>> import torch
    >>> codes = WithinBytes(300).project({"w": torch.randn(40, 40, generator=torch.Generator().manual_seed(0))})
    >>> 250 < container.bits(codes) / 8 <= 300
    True
    """

    size: int
    states: int = 1
    rest: Rest | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise PlanError(f"size is a number of bytes above 0, not {self.size}")
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `GridCode` a tensor, all with the same offsets and tables.

        Raises:
            PlanError: when nothing is left for these tensors in a file of this size; it says what would do.
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights.
        """
        if not weights:
            return {}
        arrays = {name: array_of(name, tensor) for name, tensor in weights.items()}
        shift = _exponent(arrays)  # taken off, lest squares overflow
        scaled = {name: np.asarray(np.ldexp(array, -shift)) for name, array in arrays.items()}
        heavy = importances_of(weights, metrics or {})
        warm_codes, nu = of_kind(GridCode, warm, weights), STATES[self.states]

        sources = {
            name: prepare(
                name, array, 1.0, cosine=False, scales=0, dtype=dtype_name(weights[name]),
                importances=heavy[name] if heavy[name].size else None,
            )
            for name, array in scaled.items()
        }  # fmt: skip

        def wide(codes: Mapping[str, GridCode]) -> dict[str, GridCode]:
            steps = {id(code.step): Values(np.ldexp(code.step.array, shift)) for code in codes.values()}
            return {name: replace(code, step=steps[id(code.step)]) for name, code in codes.items()}

        def measure(codes: Mapping[str, GridCode]) -> int:
            return self.bytes(wide(codes))

        def like(codes: Mapping[str, GridCode], *, one_step: bool) -> dict[str, GridCode]:
            return wide(within(_alike(sources, codes, -shift), self.size, measure, nu, one_step=one_step))

        if warm_codes:
            new = like(warm_codes, one_step=len({code.step.array.tobytes() for code in warm_codes.values()}) == 1)
        else:
            first = wide(first_codes(list(sources.values()), self.size, measure, nu))
            several = first, like(first, one_step=True), like(first, one_step=False)
            small = [codes for codes in several if self.bytes(codes) <= self.size] or [first]
            new = min(small, key=lambda codes: distortion(codes, weights, metrics))
        if (taken := self.bytes(new)) > self.size:
            raise PlanError(
                f"{self.size:,} bytes are too few: with {', '.join(new)} set to 0 the file takes {taken:,}; ask for "
                f"{math.ceil(1.02 * taken):,} or more"
            )
        if warm_codes and self.bytes(warm_codes) <= self.size:
            worse = distortion(warm_codes, weights, metrics) < distortion(new, weights, metrics)
            return dict(warm_codes if worse else new)
        return dict(new)

    def beside(self, codes: Codes) -> "WithinBytes":
        """Return the same for a file that holds these codes, too."""
        return self if self.rest is None else replace(self, rest=replace(self.rest, codes=codes))

    @property
    def counts_others(self) -> bool:
        """Whether the size is that of the whole file."""
        return self.rest is not None

    def bytes(self, codes: Codes) -> int:
        """Return the bytes of the file with these codes."""
        rest = self.rest or Rest()
        whole = {**rest.codes, **codes}
        named = {name: whole[first] for name, first in rest.names.items() if first in whole} if rest.names else whole
        return container.bits(named, rest.metadata) // 8


def _exponent(arrays: Mapping[str, np.ndarray]) -> int:
    """Return the power of two below the largest magnitude; 0 where all are 0."""
    largest = max((float(np.abs(array).max()) for array in arrays.values() if array.size), default=0.0)
    return math.frexp(largest)[1] - 1 if largest else 0


def _alike(sources: Mapping[str, Source], codes: Mapping[str, GridCode], shift: int) -> list[Source]:
    """Return the sources with the steps of codes, times 2^shift, and the scales that are best for their integers."""
    steps = {name: math.ldexp(float(code.step.array[0]), shift) for name, code in codes.items()}
    finer = {name: replace(source, finer=1 / steps[name]) for name, source in sources.items()}
    return [contexts(source, codes[name].levels.reshape(-1)) for name, source in finer.items()]
