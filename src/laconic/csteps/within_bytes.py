"""Quantization of several tensors to a file of so many bytes: entropy-constrained, with one price of a bit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.arrays import array_of, importances_of
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.parametrisations import Numbers, Parametrisation, Plain
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

_SPENT, _GROWN = 0.97, 1.5
"""Of the bytes, and times the mean integer: where steps that follow leave more unspent, or integers have grown or
shrunk by as much, others are looked for."""

_FINER, _WORTH, _TRIES = 1.2, 0.99, 6
"""Steps are tried so many times finer, and taken where what is left of the error is less than that, so often."""


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

    What is on the grid is the weights, or what ``parametrisation`` makes them of (`laconic.csteps.parametrisations`):
    a transform of kernels, values that weights share by a hash, or two factors. The bytes are then shared out over
    these numbers, each counting as much as its errors do in the weights: exactly for a transform and for shared values
    (under importances a transform takes their means), to first order for factors.

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
        parametrisation: how tensors are made of what is on the grid.

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
    parametrisation: Parametrisation = field(default=Plain())

    def __post_init__(self) -> None:
        if self.size < 1:
            raise PlanError(f"size is a number of bytes above 0, not {self.size}")
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one code a tensor, a `GridCode` or what is made of one or two, all with the same offsets and tables.

        Raises:
            PlanError: when nothing is left for these tensors in a file of this size; it says what would do.
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights.
        """
        if not weights:
            return {}
        warm_codes = self._known(of_kind(Code, warm, weights))
        problem = _Problem.of(self, weights, metrics or {}, warm_codes)
        new = problem.codes(problem.new(problem.grids(warm_codes) if warm_codes else None))
        if (taken := self.bytes(new)) > self.size:
            raise PlanError(
                f"{self.size:,} bytes are too few: with next to nothing of {', '.join(new)} the file takes {taken:,}; "
                f"ask for {math.ceil(1.02 * taken):,} or more"
            )
        if warm_codes and self.bytes(warm_codes) <= self.size and problem.error(warm_codes) < problem.error(new):
            return dict(warm_codes)
        return dict(new)

    def _known(self, codes: Codes | None) -> Codes | None:
        """Return codes of which each is made of grids in the way that is asked for; None where one is not."""
        in_that_way = codes and all(self.parametrisation.grids(name, code) for name, code in codes.items())
        return codes if in_that_way else None

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


@final
@dataclass(frozen=True, eq=False)
class _Problem:
    """Tensors to be quantized together.

    Args:
        compression: says how large the file may be, and is.
        weights: the tensors.
        metrics: what their errors count.
        parts: of each tensor the names of its numbers among ``sources``.
        sources: the numbers as they are quantized, over 2^shift, lest squares overflow.
        shift: the power of two below the largest of them.
    """

    compression: WithinBytes
    weights: Params
    metrics: Metrics
    parts: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, Source]
    shift: int

    @classmethod
    def of(cls, compression: WithinBytes, weights: Params, metrics: Metrics, warm: Codes | None) -> "_Problem":
        """Return the problem of ``weights``; errors are those of `WithinBytes.project`."""
        numbers = _made(compression.parametrisation, weights, metrics, warm)
        parts = {name: tuple(_part_name(name, k) for k in range(len(own))) for name, own in numbers.items()}
        named = {part: one for n, own in numbers.items() for part, one in zip(parts[n], own, strict=True)}
        arrays, heavy = ({part: getattr(one, key) for part, one in named.items()} for key in ("array", "importances"))
        if any(h.size for h in heavy.values()):
            heavy = {n: h if h.size else np.ones(arrays[n].shape) for n, h in heavy.items()}
        dtypes = {part: dtype_name(weights[name]) for name, own in parts.items() for part in own}
        sizes = [h.size for h in heavy.values()]
        mean = sum(float(h.sum()) for h in heavy.values()) / max(sum(sizes), 1)
        if mean > 0 and all(size or not arrays[n].size for n, size in zip(heavy, sizes, strict=True)):
            heavy = {name: h / mean for name, h in heavy.items()}  # only their ratios matter
        largest = max((float(np.abs(array).max()) for array in arrays.values() if array.size), default=0.0)
        shift = math.frexp(largest)[1] - 1 if largest else 0
        sources = {
            name: prepare(
                name, np.asarray(np.ldexp(array, -shift)), 1.0, cosine=False, scales=0,
                dtype=dtypes[name], importances=heavy[name] if heavy[name].size else None,
            )
            for name, array in arrays.items()
        }  # fmt: skip
        return cls(compression, weights, metrics, parts, sources, shift)

    def codes(self, grids: Mapping[str, GridCode]) -> dict[str, Code]:
        """Return the codes of the tensors whose numbers are on these grids."""
        make, shapes = self.compression.parametrisation.code, {n: tuple(t.shape) for n, t in self.weights.items()}
        return {n: make(n, shapes[n], tuple(grids[part] for part in own)) for n, own in self.parts.items()}

    def grids(self, codes: Codes) -> dict[str, GridCode]:
        """Return the grids of such codes."""
        own_grids = {name: self.compression.parametrisation.grids(name, codes[name]) or () for name in self.weights}
        return {
            part: grid for n, own in self.parts.items() for part, grid in zip(own, own_grids[n], strict=True)
        }  # fmt: skip

    def error(self, codes: Codes) -> float:
        """Return what is least."""
        return distortion(codes, self.weights, self.metrics)

    def new(self, warm: Mapping[str, GridCode] | None) -> dict[str, GridCode]:
        """Return new codes, with the steps of ``warm`` where these fit the weights as they are now."""
        if not warm:
            return self.first()
        near, size = self.following(warm), self.compression.size
        taken = self.compression.bytes(self.codes(near))
        grown = _magnitude(near) / _magnitude(warm)
        if _SPENT * size <= taken <= size and 1 / _GROWN < grown < _GROWN:
            return near
        cold = self.first()  # the weights have grown or shrunk beyond what these steps can tell
        return cold if taken > size or self._is_better(cold, near, 1.0) else near

    def first(self) -> dict[str, GridCode]:
        """Return codes of which nothing is known yet: one step, and finer ones while these are better, or several."""
        size, nu = self.compression.size, STATES[self.compression.states]
        best = self._wide(first_codes(list(self.sources.values()), size, self._measure, nu))
        plain = self.following(best)
        if self._is_better(plain, best, 1.0):
            best = plain
        for _ in range(_TRIES):
            finer = self.following(best, finer=_FINER)
            if not self._is_better(finer, best, _WORTH):
                break
            best = finer
        several = self.following(best, one_step=False)
        return several if self._is_better(several, best, _WORTH) else best

    def following(
        self, codes: Mapping[str, GridCode], *, finer: float = 1.0, one_step: bool | None = None
    ) -> dict[str, GridCode]:
        """Return the codes for these tensors with the steps of others, and classes that are best for their integers."""
        if one_step is None:
            one_step = len({code.step.array.tobytes() for code in codes.values()}) == 1
        near, levels = list[Source](), [codes[name].levels.reshape(-1) for name in self.sources]
        for (name, source), own in zip(self.sources.items(), levels, strict=True):
            step = math.ldexp(float(codes[name].step.array[0]), -self.shift) / finer
            near.append(contexts(replace(source, finer=1 / step), own))
        size, nu = self.compression.size, STATES[self.compression.states]
        return self._wide(within(near, size, self._measure, nu, levels=levels, one_step=one_step))

    def _is_better(self, new: Mapping[str, GridCode], old: Mapping[str, GridCode], share: float) -> bool:
        """Say whether new codes are small enough, and have less than that share of the error of old ones."""
        codes = self.codes(new)
        within_size = self.compression.bytes(codes) <= self.compression.size
        return within_size and self.error(codes) < share * self.error(self.codes(old))

    def _measure(self, codes: Mapping[str, GridCode]) -> int:
        return self.compression.bytes(self.codes(self._wide(codes)))

    def _wide(self, codes: Mapping[str, GridCode]) -> dict[str, GridCode]:
        """Return the codes of the tensors as they are."""
        steps = {id(code.step): Values(np.ldexp(code.step.array, self.shift)) for code in codes.values()}
        return {name: replace(code, step=steps[id(code.step)]) for name, code in codes.items()}


def _made(
    parametrisation: Parametrisation, weights: Params, metrics: Metrics, warm: Codes | None
) -> dict[str, tuple[Numbers, ...]]:
    """Return the numbers of each tensor."""
    heavy, known = importances_of(weights, metrics), warm or {}
    return {
        name: parametrisation.numbers(name, array_of(name, tensor), heavy[name], known.get(name))
        for name, tensor in weights.items()
    }


def _part_name(name: str, number: int) -> str:
    """Return a name for the numbers of a tensor: its own for the first, one that no tensor has for others."""
    return f"{name}\0{number}" if number else name


def _magnitude(codes: Mapping[str, GridCode]) -> float:
    """Return the mean magnitude of the integers that are not 0; 1 where all are."""
    levels = [np.abs(code.levels) for code in codes.values()]
    count = sum(int(np.count_nonzero(one)) for one in levels)
    return sum(int(one.sum()) for one in levels) / count if count else 1.0
