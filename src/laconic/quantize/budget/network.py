"""A network as the search for its step sees it: which tensors are quantized, and what lies beside them."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import final

import numpy as np

from laconic.errors import WeightsError
from laconic.format import container
from laconic.format.codes import Code, DenseCode, shared
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS
from laconic.format.coding import FLOATS
from laconic.format.coding.ungerboeck import STATES
from laconic.quantize.budget.budget import Tools
from laconic.quantize.lattice import Quantizer, Source, prepare
from laconic.quantize.lattice.quantized import SLOPE
from laconic.theory.rate_distortion import water_filling, water_filling_rate

KEPT = 1 << 24
"""Weights up to which a network stays in memory, transformed, with its integers."""

RECORD = 32
"""Bytes that a quantized tensor has beside its levels, about."""

_FINEST = 2.0**-60  # of the largest variance: no water level is lower
_REFINED = 2  # times that the first cell is found again from the scales of rows, columns and positions
_FARTHEST = 2.0**30  # steps; weights stay below
_EXTREME = 2.0**500  # a tensor with larger weights, or none larger than the inverse, is stored lossless
_FINER = 4.0  # a scale so many times below the cell costs next to nothing


@final
class Network:
    """Tensors by name, asked for one at a time.

    Args:
        tensors: by name.
        tools: what the codec may use.
        metadata: text that the file will have beside them.

    Raises:
        WeightsError: for NaN and infinite weights.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], tools: Tools, metadata: Mapping[str, str]) -> None:
        self.tensors, self.tools, self.metadata = tensors, tools, metadata
        self.energies, self.sizes, self._tops = dict[str, float](), dict[str, int](), dict[str, float]()
        self.elements, dense = 0, []
        for name, array in tensors.items():
            self.elements += array.size if array.ndim >= 2 else 0
            if not _is_weight(name, array):
                dense.append(name)
                continue
            self.sizes[name], self.energies[name] = array.size, energy(array)
            self._tops[name] = _largest(array) * (math.sqrt(math.prod(array.shape[2:])) if tools.dct else 1.0)
        self.dense = self.lossless(dense)
        self.least, self.most = 0.0, math.inf

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
        sources = [self._source(name, cell) for name in near]
        groups = [sources] if self.tools.shared else [[source] for source in sources]
        nu, moving, keeping = STATES[self.tools.states], self.tools.dead_zone, self.kept
        rate = SLOPE if self.tools.dead_zone else 0.0
        found = [Quantizer(group, nu, rate, self.tools.pairs, moving, moving, keeping) for group in groups]
        parts = 2 if self.tools.states > 1 else 1
        for _ in range(_REFINED if sources else 0):
            variances, many = (np.concatenate(x) for x in zip(*(q.spectrum(cell / parts) for q in found), strict=True))
            cell = max(self._cell(variances[many > 0], many[many > 0], size, target), 4 * self.least)
        return found, cell / parts

    def distortion(self, codes: Mapping[str, Code]) -> float:
        """Return Σ (w − ŵ)² of the tensors that are quantized, exactly that of the file."""
        return sum(
            (energy(codes[name].decompress().astype(np.float64) - self.tensors[name]) for name in self.sizes), 0.0
        )

    def _source(self, name: str, cell: float) -> Source:
        """Return a tensor as it is quantized."""
        array, tools = self.tensors[name], self.tools
        axes = ROWS | POSITIONS | (COLUMNS if array.ndim > 2 or tools.columns else 0) if tools.scales else 0
        again = None if self.kept else partial(self.tensors.__getitem__, name)
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
        return math.sqrt(12 * max(water_filling_rate(variances, counts, 8.0 * max(room, 1)).level, least))


def energy(array: np.ndarray) -> float:
    """Return the sum of squares."""
    flat = array.reshape(-1)
    return float(sum(np.square(flat[i : i + 2**20], dtype=np.float64).sum() for i in range(0, len(flat), 2**20)))


def _is_weight(name: str, array: np.ndarray) -> bool:
    """Say whether a tensor is quantized."""
    if array.ndim < 2 or array.dtype.name not in FLOATS or not array.size:
        return False
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise WeightsError(f"{name}: {bad} of {array.size} weights are NaN or infinite; repair them, or leave it out")
    if array.dtype != np.float64:
        return bool(array.any())
    return 1 / _EXTREME < _largest(array) < _EXTREME  # squares stay within the floats


def _largest(array: np.ndarray) -> float:
    """Return the largest magnitude."""
    return max(float(array.max()), -float(array.min()))
