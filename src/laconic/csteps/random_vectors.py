"""Random-code coding: blocks of weights take the nearest of many vectors that a seeded generator draws."""

import logging
import math
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

import numpy as np
import torch

from laconic.csteps.arrays import array_of, importances_of
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.flat import widest
from laconic.csteps.warm import better, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, DrawnCode, Symbols, Values
from laconic.format.codes.hashing import NORMAL_DEVIATION, normals, order_of
from laconic.models.params import Params, dtype_name
from laconic.theory.metric import Metrics

_LOG = logging.getLogger(__name__)

_UNIT = 2.0**16
"""Vectors are sums of integers over this: float32 holds them exactly."""

_MOST_BITS, _AT_ONCE = 20, 1 << 22  # of an index; numbers that are in memory, of candidates and of scores
_LARGEST = 4.0  # size of a number of a vector at most
_LONG = 1 << 35  # numbers that are compared in half a minute or more
_ROUNDS, _ENOUGH = 12, 1e-4  # of indices and scale in turn; the share of the error that a round must take off


@final
@dataclass(frozen=True)
class RandomVectors(Compression):
    """Each block of weights is a scale times one of 2^b vectors of nearly normal numbers, which a seed gives.

        min over σ, k   Σ_t Σ_i h_ti (w_ti − σ z_{k(t,b), j})²,   i element j of block b in a seeded order

    b bits a block, whatever the weights are: the size is known before. At R = b / length bits a weight the error of
    independent normal weights is near their R(D), 2^(−2R) of their energy, from above; blocks are taken in a seeded
    order so that each has weights of all kinds. Tensors given together share the scale; each has a seed of its own,
    made of ``seed`` and its name.

    Method: given σ the nearest candidate of each block, exactly (to float32's rounding of the scores), by products of
    matrices, O(P · 2^b); given indices the σ of least error; in turn, from that of a Gaussian source or of ``warm``.
    ``warm`` is kept where it is nearer.

    Source: Havasi, Peharz & Hernández-Lobato, "Minimal random code learning" (ICLR 2019), whose index is drawn by
    importance weights from a distribution over weights; here it is the nearest, which is what a C step asks for. All
    blocks of a tensor choose among the same vectors, which in a seeded order is as good as vectors of their own.

    Args:
        length: weights a block; a tensor that has fewer is one block.
        index_bits: b, 1 to 20.
        seed: of orders and vectors.

    Raises:
        PlanError: when an argument is out of range.

    >>> import torch
    >>> code = RandomVectors(4, index_bits=8).project({"w": torch.ones(40)})["w"]
    >>> len(code.indices), code.indices.alphabet
    (10, 256)
    """

    length: int
    index_bits: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise PlanError(f"random_vectors is a number of weights, 1 or more, not {self.length}")
        if not 1 <= self.index_bits <= _MOST_BITS:
            raise PlanError(f"index_bits are 1 to {_MOST_BITS}, not {self.index_bits}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `DrawnCode` a tensor, all with one scale.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights.
        """
        if not weights:
            return {}
        arrays = {name: array_of(name, tensor) for name, tensor in weights.items()}
        heavy = importances_of(weights, metrics or {})
        blocks = {name: self._blocks(name, arrays[name], heavy[name]) for name in weights}
        warm_codes = of_kind(DrawnCode, warm, weights)
        start = None if warm_codes is None else float(next(iter(warm_codes.values())).scale.array[0]) * _UNIT
        self._warn(blocks.values())
        scale, indices = _descent(list(blocks.values()), start or self._first(list(blocks.values())), self.index_bits)
        for name, own in zip(blocks, indices, strict=True):
            scale = min(scale, _most(scale, dtype_name(weights[name]), blocks[name], own))
        wide = "float64" if widest(map(dtype_name, weights.values())) == "float64" else "float32"
        one = Values(np.array([scale / _UNIT], wide))
        new = {
            name: DrawnCode(
                tuple(weights[name].shape), dtype_name(weights[name]), block.seed, block.length, one,
                Symbols(own, 1 << self.index_bits),
            )
            for (name, block), own in zip(blocks.items(), indices, strict=True)
        }  # fmt: skip
        return better(new, warm_codes, weights, metrics, lambda codes: self._allows(codes, new))

    def _warn(self, blocks: Collection["Blocks"]) -> None:
        """Say so, where it takes minutes."""
        tried = sum(block.weights.size for block in blocks) << self.index_bits
        if tried > _LONG:
            _LOG.warning(
                "%s of %d weights: %.2g numbers are compared, which takes minutes; fewer index_bits, or more weights a "
                "block and so fewer bits a weight, take less", type(self).__name__, self.length, tried,
            )  # fmt: skip

    def _blocks(self, name: str, array: np.ndarray, importances: np.ndarray) -> "Blocks":
        """Return the blocks of one tensor."""
        seed = zlib.crc32(f"{self.seed} {name}".encode())
        length = min(self.length, max(array.size, 1))
        count = -(-array.size // length)
        order = order_of(seed, array.size)

        def laid_out(flat: np.ndarray) -> np.ndarray:
            padded = np.zeros(count * length)
            padded[: array.size] = flat[order]
            return padded.reshape(count, length)

        given = importances if importances.size else np.ones(array.size)
        return Blocks(seed, length, laid_out(array.reshape(-1)), laid_out(given.reshape(-1)), not importances.size)

    def _first(self, blocks: list["Blocks"]) -> float:
        """Return the scale that is best for a Gaussian source at this rate, of which 1 − 2^(−2R) is told."""
        energy = sum(block.energy for block in blocks)
        mass = sum(float(block.importances.sum()) for block in blocks)
        told = 1 - 2.0 ** (-2 * self.index_bits / self.length)
        return math.sqrt(told * energy / mass) / (NORMAL_DEVIATION / _UNIT) if mass > 0 else 0.0

    def _allows(self, codes: Mapping[str, DrawnCode], new: Mapping[str, DrawnCode]) -> bool:
        """Say whether ``codes`` have one scale, and seeds and blocks of ``new``."""
        one = len({code.scale.array.tobytes() for code in codes.values()}) == 1
        facts = all(code.facts() == new[name].facts() for name, code in codes.items())
        return one and facts and all(code.indices.alphabet == 1 << self.index_bits for code in codes.values())


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of one tensor.

    Args:
        seed: of order and vectors.
        length: weights a block.
        weights: float64, shape (blocks, length); the last block is filled up with zeros.
        importances: of the same shape, 0 where it is filled up.
        alike: whether all weights have the importance 1.
    """

    seed: int
    length: int
    weights: np.ndarray
    importances: np.ndarray
    alike: bool

    UNIT: ClassVar[float] = _UNIT
    """Scales are of vectors of integers over this."""

    @property
    def energy(self) -> float:
        """Σ h w²."""
        return float((self.importances * np.square(self.weights)).sum())

    def vectors(self, first: int, count: int) -> np.ndarray:
        """Return so many candidates from ``first`` on, float32, shape (count, length)."""
        counters = np.arange(first * self.length, (first + count) * self.length, dtype=np.uint64)
        drawn = [normals(self.seed, counters[at : at + _AT_ONCE]) for at in range(0, len(counters), _AT_ONCE)]
        flat = np.concatenate([np.zeros(0, np.int64), *drawn])
        return (flat / _UNIT).astype(np.float32).reshape(count, self.length)

    def nearest(self, scale: float, bits: int) -> np.ndarray:
        """Return for each block the index of the nearest of 2^bits candidates times ``scale``, the first of equals."""
        best, least = np.zeros(len(self.weights), np.int64), np.full(len(self.weights), np.inf, np.float32)
        if not scale or not self.weights.size:
            return best
        scaled, heavy = (self.weights / scale).astype(np.float32), self._heavy()
        candidates = max(1, min(1 << bits, _AT_ONCE // self.length))
        for first in range(0, 1 << bits, candidates):
            vectors = self.vectors(first, min(candidates, (1 << bits) - first))
            squares = np.square(vectors)
            for at, some in self._some(len(vectors)):
                scores = (heavy[some] * scaled[some]) @ vectors.T
                scores *= -2
                scores += squares.sum(axis=1) if at < self._full else heavy[some] @ squares.T
                own = scores.argmin(axis=1)
                lowest = np.take_along_axis(scores, own[:, None], axis=1)[:, 0]
                nearer = lowest < least[some]
                best[some] = np.where(nearer, first + own, best[some])
                least[some] = np.where(nearer, lowest, least[some])
        return best

    def fitted(self, indices: np.ndarray) -> tuple[float, float]:
        """Return Σ h w z and Σ h z² for the vectors of these indices."""
        products, squares = 0.0, 0.0
        step = max(1, _AT_ONCE // self.length)
        for first in range(0, len(indices), step):
            some = slice(first, first + step)
            firsts = indices[some].astype(np.uint64)[:, None] * np.uint64(self.length)
            counters = firsts + np.arange(self.length, dtype=np.uint64)
            z = normals(self.seed, counters.reshape(-1)).reshape(counters.shape) / _UNIT
            weighted = self.importances[some] * z
            products += float((weighted * self.weights[some]).sum())
            squares += float((weighted * z).sum())
        return products, squares

    @property
    def _full(self) -> int:
        """Blocks from the first on in which every weight counts the same."""
        whole = bool(self.importances[-1:].all())
        return (len(self.weights) if whole else len(self.weights) - 1) if self.alike else 0

    def _some(self, candidates: int) -> list[tuple[int, slice]]:
        """Return runs of blocks whose scores fit in memory, those in which weights count the same apart."""
        step, ends = max(1, _AT_ONCE // candidates), (0, self._full, len(self.weights))
        spans = [(start, stop) for start, stop in pairwise(ends) if start < stop]
        return [(at, slice(at, min(at + step, stop))) for start, stop in spans for at in range(start, stop, step)]

    def _heavy(self) -> np.ndarray:
        """Return the importances in float32, the largest of a block 1: only their ratios matter within it."""
        largest = self.importances.max(axis=1, keepdims=True)
        ratios = np.divide(self.importances, largest, out=np.ones_like(self.importances), where=largest > 0)
        return np.asarray(ratios, np.float32)


def _most(scale: float, dtype: str, block: "Blocks", indices: np.ndarray) -> float:
    """Return ``scale``, or the largest one at which no vector overflows in ``dtype``."""
    most = 0.999 * torch.finfo(getattr(torch, dtype)).max
    if scale * _LARGEST <= most:
        return scale
    largest = max((float(np.abs(block.vectors(int(index), 1)).max()) for index in np.unique(indices)), default=0.0)
    return most / largest if largest else scale


def _descent(blocks: list[Blocks], start: float, bits: int) -> tuple[float, list[np.ndarray]]:
    """Return the scale and the indices that indices and scale in turn come to."""
    scale, energy, before = start, sum(block.energy for block in blocks), math.inf
    best = 0.0, [np.zeros(len(block.weights), np.int64) for block in blocks]
    for _ in range(_ROUNDS):
        indices = [block.nearest(scale, bits) for block in blocks]
        sums = [block.fitted(own) for block, own in zip(blocks, indices, strict=True)]
        products, squares = (sum(part) for part in zip(*sums, strict=True))
        scale = products / squares if squares > 0 else 0.0
        error = energy - products * scale
        if error < before:
            best = scale, indices
        if not error < before * (1 - _ENOUGH) or not scale:
            return best
        before = error
    return best
