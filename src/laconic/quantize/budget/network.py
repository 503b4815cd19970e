"""A network as the search for its step sees it: which tensors are weights, which of these are quantized, what else."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock
from typing import final

import numpy as np

from laconic.format import container
from laconic.format.codes import Code, GridCode
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS
from laconic.format.codes.streams import Values
from laconic.format.coding import FLOATS, itemsize
from laconic.format.coding.dtypes import largest
from laconic.format.coding.ungerboeck import STATES
from laconic.format.lossless import lossless, together
from laconic.quantize.budget.apart import NOTHING, Apart
from laconic.quantize.budget.budget import Tools
from laconic.quantize.budget.outliers import summed, without
from laconic.quantize.budget.signal import Signal
from laconic.quantize.budget.survey import Survey, survey
from laconic.quantize.budget.weighing import Weighing
from laconic.quantize.lattice import Quantizer, Source, Workers, floats, prepare
from laconic.quantize.lattice.quantized import ONE, SLOPE
from laconic.quantize.lattice.travel import read_source, source_bytes
from laconic.quantize.lattice.workers import Travel
from laconic.theory.rate_distortion import water_filling, water_filling_rate

KEPT = 1 << 22
"""Weights up to which a network stays in memory, transformed, with its integers."""

RECORD = 20
"""Bytes that a quantized tensor has beside its levels: some 23 in a deep network, 45 in a shallow one."""

LEAST = 3
"""The same, hardly less: in a small file of a deep network."""

_FINEST = 2.0**-60  # of the largest variance: no water level is lower
_MOST_BITS = 100.0  # a weight: their water level is far below the least
_REFINED = 2  # times that the first cell is found again from the scales of rows, columns and positions
_FARTHEST = 2.0**30  # steps; weights stay below
_FINER = 4.0  # a scale so many times below the cell costs next to nothing


@final
class Network:
    """Tensors by name, asked for one at a time.

    Args:
        tensors: by name.
        tools: what the codec may use.
        metadata: text that the file will have beside them.
        workers: threads that take one tensor after the other, and ranks that have some of them each.
        apart: what the budget counts and does not choose.
        importances: h by name, of the tensors' shapes: how much the errors of weights count; see `Weighing`.
        names: every name of the file, in its order, with that of its tensor in ``tensors``; these alone unless given.

    Raises:
        WeightsError: for NaN and infinite weights that are to be quantized, and for importances that are none.
    """

    def __init__(
        self,
        tensors: Mapping[str, np.ndarray],
        tools: Tools,
        metadata: Mapping[str, str],
        workers: Workers,
        apart: Apart = NOTHING,
        importances: Mapping[str, np.ndarray] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.tensors, self.tools, self.metadata, self.workers, self.apart = tensors, tools, metadata, workers, apart
        self._named = names or {name: name for name in tensors}
        self._reading = Lock()
        order = list(tensors)
        seen = workers.map(
            lambda name: survey(name, self.read(name), apart.role(name)), order, [1] * len(order), math.inf,
            Travel(order, Survey.packed, lambda name, data: Survey.read(data)),
        )  # fmt: skip
        surveys = dict(zip(order, seen, strict=True))
        self.elements = sum(survey.weights for survey in surveys.values())
        self.energy = sum((survey.energy for survey in surveys.values()), 0.0)
        quantized = {name: survey for name, survey in surveys.items() if survey.is_quantized}
        self.rest = sum((survey.rest for survey in surveys.values()), 0.0)
        self.energies = {name: survey.rest for name, survey in quantized.items()}
        self.sizes = {name: survey.weights for name, survey in quantized.items()}
        self._exact = [name for name in order if surveys[name].weights and name not in quantized]
        self._outliers = {name: survey.outliers for name, survey in quantized.items()}
        shapes = {name: survey.shape for name, survey in quantized.items()}
        self._weighing = Weighing.of(importances or {}, shapes, self._outliers)
        self._finer = {name: self._weighing.finer(name) for name in quantized}
        self._ending = {name for name, survey in quantized.items() if survey.is_ending}
        self._tops = {
            name: survey.largest * survey.gathering(tools.dct) * self._finer[name] for name, survey in quantized.items()
        }
        self.dense = self.lossless([name for name in order if name not in quantized])
        self.dense_bytes = self.file_bytes(self.dense)
        self.least, self.most = 0.0, math.inf

    def read(self, name: str) -> np.ndarray:
        """Return a tensor; one is read at a time, for what reads them may have one place in its file."""
        with self._reading:
            return self.tensors[name]

    @property
    def weights(self) -> int:
        """Number of the weights that are quantized."""
        return sum(self.sizes.values())

    @property
    def weighed(self) -> bool:
        """Whether importances make a difference between weights."""
        return (
            any(factor != 1 for factor in self._finer.values())
            or not self._weighing.even >= self._weighing.means.keys()
        )

    @property
    def kept(self) -> bool:
        """Whether it stays in memory."""
        return self.weights <= KEPT

    @property
    def kept_exactly(self) -> tuple[str, ...]:
        """The names of the weights that stay as they are, in the order of the network."""
        exact = {*self._exact, *(name for name in self.sizes if name in self.dense)} - self.apart.codes.keys()
        return tuple(name for name in self.tensors if name in exact)

    @property
    def heaviest(self) -> tuple[str, ...]:
        """The names of the three tensors that take the most memory of those that stay as they are."""
        taken = {name: code.size * itemsize(code.dtype) for name, code in self.dense.items()}
        return tuple(sorted(taken, key=lambda name: -taken[name])[:3])

    @property
    def apart_bytes(self) -> tuple[int, int]:
        """Bytes that the codes that were given take, and those that stay lossless with the names; 0 without either."""
        if not (self.apart.codes or self.apart.lossless):
            return 0, 0
        planned = (container.bits(self.apart.codes) - container.bits({})) // 8
        return planned, self.dense_bytes - planned

    @cached_property
    def signals_apart(self) -> Mapping[str, Signal]:
        """What is left of the tensors whose codes were given."""
        given = [name for name, code in self.apart.codes.items() if name in self.tensors and code.dtype in FLOATS]
        return self._signals(self.apart.codes, given, replace(self.workers, ranks=None))

    @property
    def lost_apart(self) -> float:
        """Σ (w − ŵ)² of the weights whose codes were given."""
        return sum((self.signals_apart[name].lost for name in self._exact if name in self.apart.codes), 0.0)

    def quantizers(self, size: int | None, target: float) -> tuple[list[Quantizer], float]:
        """Return what quantizes the tensors, one group for each set of tables, and a step to begin with.

        Tensors with weights too far from 0 for the step stay lossless; where there is no room for these, it is larger.

        Args:
            size: bytes of the file that are asked, more than `dense_bytes`; or None.
            target: the squared error that is asked, otherwise.
        """
        counts, finer = (np.array(list(each.values())) for each in (self.sizes, self._finer))
        cell = self._cell(np.array(list(self.energies.values())) / counts * finer**2, counts, size, target)
        far = {name for name, top in self._tops.items() if top > cell * _FARTHEST / 4}
        lossless = self.lossless(name for name in self.tensors if name in far or name in self.dense) if far else {}
        if far and (size is None or self.file_bytes(lossless) <= size):
            self.dense, self.dense_bytes = lossless, self.file_bytes(lossless)
        near = [name for name in self.sizes if name not in self.dense]
        top = max((self._tops[name] for name in near), default=0.0)
        self.least, self.most = top / _FARTHEST, 4 * top or math.inf
        cell = max(cell, 4 * self.least)
        sizes = [self.sizes[name] for name in near]
        travel = Travel(near, source_bytes, read_source)
        sources = list(self.workers.map(partial(self._source, cell=cell), near, sizes, travel=travel))
        groups = [sources] if self.tools.shared else [[source] for source in sources]
        nu, moving = STATES[self.tools.states], self.tools.dead_zone
        rate = SLOPE if self.tools.dead_zone else 0.0
        workers = self.workers if len(groups) == 1 else ONE  # else groups are side by side
        found = [Quantizer(group, nu, rate, self.tools.pairs, moving, moving, workers=workers) for group in groups]
        parts = 2 if self.tools.states > 1 else 1
        for _ in range(_REFINED if sources else 0):
            variances, many = (np.concatenate(x) for x in zip(*(q.spectrum(cell / parts) for q in found), strict=True))
            cell = max(self._cell(variances[many > 0], many[many > 0], size, target), 4 * self.least)
        return found, cell / parts

    def _reached(self, codes: Mapping[str, GridCode]) -> dict[str, float]:
        """Return the largest magnitude of the tensors of which some weights would be beyond their type.

        Weights next to the end of their type, as those that are scaled to fill 8 bits, may be rounded beyond it.
        """

        def reached(name: str) -> float:
            code = codes[name]
            if bool(np.isfinite(floats(code.decompress())).all()):
                return 0.0
            return float(np.abs(replace(code, dtype="float64").decompress()).max())

        names = [name for name in codes if name in self._ending]
        sizes = [codes[name].size for name in names]
        travel = Travel[str, float](names, _number_bytes, lambda name, data: float(data))
        found = dict(zip(names, self.workers.map(reached, names, sizes, 1.25, travel), strict=True))
        return {name: top for name, top in found.items() if top}

    def signals(self, codes: Mapping[str, Code]) -> dict[str, Signal]:
        """Return what is left of the tensors that are quantized, exactly that of the file."""
        return self._signals(codes, list(self.sizes), self.workers)

    def _signals(self, codes: Mapping[str, Code], names: list[str], workers: Workers) -> dict[str, Signal]:
        """Return what is left of some tensors."""

        def signal(name: str) -> Signal:
            return Signal.of(codes[name].decompress(), self.read(name))

        sizes = [codes[name].size for name in names]  # what is decoded takes more memory than all else
        travel = Travel[str, Signal](names, Signal.packed, lambda name, data: Signal.read(data))
        return dict(zip(names, workers.map(signal, names, sizes, 1.25, travel), strict=True))

    def _others(self, name: str) -> np.ndarray:
        """Return a tensor without its outliers."""
        return without(self.read(name), self._outliers[name])

    def completed(self, codes: Mapping[str, GridCode]) -> dict[str, Code]:
        """Return the codes of tensors whose weights on the grid have these.

        A tensor has a step of its own where some of its weights would else be beyond its type.
        """
        steps = {name: largest(codes[name].dtype) / top for name, top in self._reached(codes).items()}
        own = {name: replace(codes[name], step=Values(codes[name].step.array * by)) for name, by in steps.items()}
        return {
            name: summed(code, self.read(name), places) if (places := self._outliers[name]) else code
            for name, code in {**codes, **own}.items()
        }

    def _source(self, name: str, cell: float) -> Source:
        """Return a tensor as it is quantized."""
        array, tools = self._others(name), self.tools
        axes = ROWS | POSITIONS | (COLUMNS if array.ndim > 2 or tools.columns else 0) if tools.scales else 0
        again, finer = None if self.kept else partial(self._others, name), self._finer[name]
        found = prepare(
            name, array, cell / finer / _FINER, cosine=tools.dct, scales=axes,
            importances=self._weighing.each(name), load=again,
        )  # fmt: skip
        return replace(found, finer=finer)

    def lossless(self, names: Iterable[str]) -> dict[str, Code]:
        """Return the codes of tensors that stay as they are, and those that were given."""
        codes = {name: self.apart.codes.get(name) or lossless(self.read(name)) for name in names}
        return together(codes) if self.tools.shared else codes

    def named(self, codes: Mapping[str, Code]) -> dict[str, Code]:
        """Return the codes of some tensors under all their names, in the order of the file."""
        return {name: codes[first] for name, first in self._named.items() if first in codes}

    def file_bytes(self, codes: Mapping[str, Code]) -> int:
        """Return the bytes of the file with these tensors alone, under all their names."""
        return container.bits(self.named(codes), self.metadata) // 8

    def _cell(self, variances: np.ndarray, counts: np.ndarray, size: int | None, target: float) -> float:
        """Return the cell of the water level that takes what is asked for Gaussians of these variances."""
        least = float(variances.max()) * _FINEST
        if size is None:
            return math.sqrt(12 * max(water_filling(variances, counts, target).level, least))
        room = size - self.dense_bytes - RECORD * len(self.sizes)
        bits = min(8.0 * max(room, 1), _MOST_BITS * float(counts.sum()))  # lest the level leave the floats
        return math.sqrt(12 * max(water_filling_rate(variances, counts, bits).level, least))


def _number_bytes(number: float) -> bytes:
    """Return a number as text that is read as the very same."""
    return repr(number).encode()
