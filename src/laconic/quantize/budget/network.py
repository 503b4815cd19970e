"""A network as the search for its step sees it: which tensors are quantized, and what lies beside them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import final

import numpy as np

from laconic.errors import WeightsError
from laconic.format import container
from laconic.format.codes import Code, DenseCode, shared
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS
from laconic.format.coding import FLOATS
from laconic.format.coding.ungerboeck import STATES
from laconic.quantize.budget.budget import Tools
from laconic.quantize.lattice import Quantizer, Source, Workers, floats, prepare
from laconic.quantize.lattice.quantized import ONE, SLOPE
from laconic.theory.rate_distortion import water_filling, water_filling_rate

KEPT = 1 << 24
"""Weights up to which a network stays in memory, transformed, with its integers."""

RECORD = 32
"""Bytes that a quantized tensor has beside its levels, about."""

_FINEST = 2.0**-60  # of the largest variance: no water level is lower
_MOST_BITS = 100.0  # a weight: their water level is far below the least
_REFINED = 2  # times that the first cell is found again from the scales of rows, columns and positions
_FARTHEST = 2.0**30  # steps; weights stay below
_EXTREME = 2.0**500  # a tensor with larger weights, or none larger than the inverse, is stored lossless
_PART = 1 << 20  # numbers
_FINER = 4.0  # a scale so many times below the cell costs next to nothing


@final
class Network:
    """Tensors by name, asked for one at a time.

    Args:
        tensors: by name.
        tools: what the codec may use.
        metadata: text that the file will have beside them.
        workers: threads that take one tensor after the other.

    Raises:
        WeightsError: for NaN and infinite weights.
    """

    def __init__(
        self, tensors: Mapping[str, np.ndarray], tools: Tools, metadata: Mapping[str, str], workers: Workers
    ) -> None:
        self.tensors, self.tools, self.metadata, self.workers = tensors, tools, metadata, workers
        self._reading = Lock()
        names = list(tensors)
        surveys = dict(zip(names, workers.map(self._surveyed, names, [1] * len(names)), strict=True))
        self.elements = sum(survey.elements for survey in surveys.values())
        weights = {name: survey for name, survey in surveys.items() if survey.is_weight}
        self.energies = {name: survey.energy for name, survey in weights.items()}
        self.sizes = {name: survey.elements for name, survey in weights.items()}
        self._tops = {name: survey.largest * survey.gathering(tools.dct) for name, survey in weights.items()}
        self.dense = self.lossless([name for name in names if name not in weights])
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
    def kept(self) -> bool:
        """Whether it stays in memory."""
        return self.weights <= KEPT

    @property
    def energy(self) -> float:
        """Sum of their squares."""
        return sum(self.energies.values(), 0.0)

    @property
    def dense_bytes(self) -> int:
        """Bytes of the file with the other tensors alone."""
        return container.bits(self.dense, self.metadata) // 8

    def quantizers(self, size: int | None, target: float) -> tuple[list[Quantizer], float]:
        """Return what quantizes the tensors, one group for each set of tables, and a step to begin with.

        Tensors with weights too far from 0 for the step stay lossless; where there is no room for these, it is larger.

        Args:
            size: bytes of the file that are asked, more than `dense_bytes`; or None.
            target: the squared error that is asked, otherwise.
        """
        counts = np.array(list(self.sizes.values()))
        cell = self._cell(np.array(list(self.energies.values())) / counts, counts, size, target)
        far = {name for name, top in self._tops.items() if top > cell * _FARTHEST / 4}
        lossless = self.lossless(name for name in self.tensors if name in far or name in self.dense)
        if size is None or container.bits(lossless, self.metadata) // 8 <= size:
            self.dense = lossless
        near = [name for name in self.sizes if name not in self.dense]
        top = max((self._tops[name] for name in near), default=0.0)
        self.least, self.most = top / _FARTHEST, 4 * top or math.inf
        cell = max(cell, 4 * self.least)
        sizes = [self.sizes[name] for name in near]
        sources = list(self.workers.map(partial(self._source, cell=cell), near, sizes))
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

    def distortion(self, codes: Mapping[str, Code]) -> float:
        """Return Σ (w − ŵ)² of the tensors that are quantized, exactly that of the file."""

        def lost(name: str) -> float:
            new, old = codes[name].decompress().reshape(-1), self.read(name).reshape(-1)
            return sum((_squares(_wide(new[part]) - _wide(old[part])) for part in _parts(len(old))), 0.0)

        return sum(self.workers.map(lost, list(self.sizes), list(self.sizes.values())), 0.0)

    def _surveyed(self, name: str) -> "Survey":
        """Return what is known of a tensor before anything is done.

        Raises:
            WeightsError: for NaN and infinite weights.
        """
        array = self.read(name)
        if array.ndim < 2 or array.dtype.name not in FLOATS or not array.size:
            return Survey(array.shape, array.size if array.ndim >= 2 else 0)
        flat, bad, largest, energy = array.reshape(-1), 0, 0.0, 0.0
        for part in _parts(array.size):
            values = floats(flat[part])
            finite = np.isfinite(values)
            bad += values.size - int(np.count_nonzero(finite))
            if not bad:
                largest = max(largest, float(values.max()), -float(values.min()))
                energy += _squares(values)
        if bad:
            raise WeightsError(
                f"{name}: {bad} of {array.size} weights are NaN or infinite; repair them, or leave it out"
            )
        exact = array.dtype == np.float64 and not 1 / _EXTREME < largest < _EXTREME  # squares leave the floats
        return Survey(array.shape, array.size, bool(largest) and not exact, energy, largest)

    def _source(self, name: str, cell: float) -> Source:
        """Return a tensor as it is quantized."""
        array, tools = self.read(name), self.tools
        axes = ROWS | POSITIONS | (COLUMNS if array.ndim > 2 or tools.columns else 0) if tools.scales else 0
        again = None if self.kept else partial(self.read, name)
        return prepare(name, array, cell / _FINER, cosine=tools.dct, scales=axes, load=again)

    def lossless(self, names: Iterable[str]) -> dict[str, Code]:
        """Return the codes of tensors that stay as they are."""
        codes: dict[str, Code] = {name: DenseCode.of(self.tensors[name]) for name in names}
        return shared(codes) if self.tools.shared else codes

    def _cell(self, variances: np.ndarray, counts: np.ndarray, size: int | None, target: float) -> float:
        """Return the cell of the water level that takes what is asked for Gaussians of these variances."""
        least = float(variances.max()) * _FINEST
        if size is None:
            return math.sqrt(12 * max(water_filling(variances, counts, target).level, least))
        room = size - self.dense_bytes - RECORD * len(self.sizes)
        bits = min(8.0 * max(room, 1), _MOST_BITS * float(counts.sum()))  # lest the level leave the floats
        return math.sqrt(12 * max(water_filling_rate(variances, counts, bits).level, least))


@final
@dataclass(frozen=True)
class Survey:
    """What is known of a tensor before anything is done.

    Args:
        shape: of the tensor.
        elements: how many it has, or 0 where it has fewer than two axes.
        is_weight: whether it is quantized.
        energy: Σ w².
        largest: magnitude.
    """

    shape: tuple[int, ...]
    elements: int
    is_weight: bool = False
    energy: float = 0.0
    largest: float = 0.0

    def gathering(self, transformed: bool) -> float:
        """Return how many times larger than the weights what is quantized can be: a transform gathers what is alike."""
        return math.sqrt(math.prod(self.shape[2:])) if transformed else 1.0


def _parts(size: int) -> Iterator[slice]:
    """Give parts of an array that are worked on at a time."""
    return (slice(start, start + _PART) for start in range(0, size, _PART))


def _wide(array: np.ndarray) -> np.ndarray:
    """Return an array as float64."""
    return floats(array).astype(np.float64)


def _squares(values: np.ndarray) -> float:
    """Return the sum of squares; those of what is too large are infinite."""
    with np.errstate(over="ignore"):
        return float(np.square(values, dtype=np.float64).sum())
