"""A budget named up front, met by one step for the whole network.

    min Σ (w − ŵ)²   subject to   bytes of the file ≤ budget        (or: the fewest bytes within a distortion)

The water level of reverse water-filling: where errors add up, the best shares of a budget have one slope everywhere,
and on grids one slope is one step. What is left to find is that one number.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import final

import numpy as np

from laconic import container
from laconic.bounds import water_filling, water_filling_rate
from laconic.codes import Code, DenseCode, shared
from laconic.codes.scales import COLUMNS, POSITIONS, ROWS
from laconic.coding import FLOATS
from laconic.coding.ungerboeck import STATES
from laconic.errors import PlanError, WeightsError
from laconic.lattice import Quantized, Quantizer, prepare
from laconic.lattice.quantized import SLOPE
from laconic.lattice.secant import next_step

PASSES = 8
"""Passes over the weights that the search for the step takes at most."""

NEAR = 0.01
"""A size is met from below within this share."""

_AIM, _ENOUGH = 0.998, 0.995  # of a size: what is aimed at, and what ends the search
_AIM_SNR, _ENOUGH_SNR = 0.9985, 0.997  # the same of a distortion
_CARE = 0.002  # how much further inside the budget each pass after the fourth aims
_FINEST = 2.0**-60  # of the largest variance: no water level is lower
_REFINED = 2  # times that the first cell is found again from the scales of rows, columns and positions
_RECORD = 32  # bytes that a quantized tensor has beside its levels, about
_FARTHEST = 2.0**30  # steps; weights stay below
_EXTREME = 2.0**500  # a tensor with larger weights, or none larger than the inverse, is stored lossless
_FINER = 4.0  # a scale so many times below the cell costs next to nothing


@final
@dataclass(frozen=True)
class Tools:
    """What the codec may use.

    Args:
        states: of the trellis: 4, 8, 16, 32, 64; or 1 for none, each weight by itself.
        dct: the cosine transform of kernels.
        scales: classes of scale for rows, columns and positions.
        dead_zone: the rate in the choice of integers, and reconstruction at the centroids.
        pairs: integers are coded two at a time, for speed.
        shared: one set of tables for the network.
        columns: matrices, too, have scales for their columns; it makes them slower to decode.
    """

    states: int = 8
    dct: bool = True
    scales: bool = True
    dead_zone: bool = True
    pairs: bool = False
    shared: bool = True
    columns: bool = False

    def __post_init__(self) -> None:
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")


QUALITIES: Mapping[str, Tools] = {
    "fast": Tools(states=1, pairs=True),
    "default": Tools(states=8),
    "max": Tools(states=64, columns=True),
}
"""Levels of effort; the decoder's differs little."""


@final
@dataclass(frozen=True)
class Budget:
    """What a file may cost, or must be worth: exactly one of four.

    Args:
        bits: 8 · bytes of the file / elements of the tensors with two or more axes.
        size: bytes of the file.
        ratio: bytes of the uncompressed file over bytes of this one.
        snr: 10 log₁₀ Σ w² / Σ (w − ŵ)² over the tensors with two or more axes, in dB.

    Raises:
        PlanError: when not exactly one is given, or it is out of range.
    """

    bits: float | None = None
    size: int | None = None
    ratio: float | None = None
    snr: float | None = None

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if len(given) != 1:
            raise PlanError(f"a budget is one of bits, size, ratio and snr; given are {', '.join(given) or 'none'}")
        ((name, value),) = given.items()
        if not 0 < value < math.inf:
            raise PlanError(f"{name} is above 0 and finite, not {value}")

    def __str__(self) -> str:
        """Return what was asked, with its unit."""
        if self.bits is not None:
            return f"{self.bits:g} bits per weight"
        if self.size is not None:
            return f"{self.size:,} bytes"
        return f"ratio {self.ratio:g}" if self.ratio is not None else f"{self.snr:g} dB"

    def bytes(self, elements: int, reference: int | None) -> int | None:
        """Return the bytes that the file may have, or None where the distortion is what is asked.

        Args:
            elements: of the tensors with two or more axes.
            reference: bytes of the uncompressed file; a ratio needs it.
        """
        if self.bits is not None:
            return math.floor(self.bits * elements / 8)
        if self.ratio is not None:
            if reference is None:
                raise PlanError("a ratio needs the size of the uncompressed file")
            return math.floor(reference / self.ratio)
        return self.size


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """A network within its budget.

    Args:
        codes: of all tensors, in their order.
        budget: what was asked.
        file_bytes: what the file takes.
        snr: of the tensors that are quantized, in dB; infinite where nothing is lost.
        step: the width of a level.
        passes: over the weights.
        lossless: the names of tensors that were kept as they are although they have two or more axes.
    """

    codes: Mapping[str, Code]
    budget: Budget
    file_bytes: int
    snr: float
    step: float
    passes: int
    lossless: tuple[str, ...] = ()


Watch = Callable[[int, int], None]
"""Is told after each pass its number and the bytes of the file."""


def fit(
    tensors: Mapping[str, np.ndarray],
    budget: Budget,
    tools: Tools | None = None,
    metadata: Mapping[str, str] | None = None,
    watch: Watch | None = None,
    *,
    reference_bytes: int | None = None,
) -> Fitted:
    """Return the codes of ``tensors`` within ``budget``: floats with two or more axes on one grid, the rest lossless.

    A size is never overshot, and as a rule met within 1 %; an SNR is never missed, and as a rule exceeded by less than
    0.1 dB. At most 8 passes over the weights, each with the code lengths of the one before: where these have not
    settled by the eighth (below a bit a weight, scales that differ by octaves), the file can be a few percent smaller.

    Args:
        tensors: by name.
        budget: what is asked.
        tools: what the codec may use; `QUALITIES` names three sets.
        metadata: text that the file will have beside the tensors, for it is counted.
        watch: told of every pass.
        reference_bytes: of the uncompressed file, for a ratio.

    Raises:
        PlanError: when no step meets the budget; it says what can be met.
        WeightsError: for NaN and infinite weights.

    >>> weights = {"w": np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)}
    >>> fit(weights, Budget(bits=3)).file_bytes <= 3 * 10_000 / 8
    True
    """
    chosen = {name: array for name, array in tensors.items() if _is_weight(name, array)}
    search = _Search(tensors, chosen, budget, tools or QUALITIES["default"], metadata or {}, reference_bytes)
    return search.run(watch or (lambda number, size: None))


def _is_weight(name: str, array: np.ndarray) -> bool:
    """Say whether a tensor is quantized."""
    if array.ndim < 2 or array.dtype.name not in FLOATS or not array.size:
        return False
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise WeightsError(f"{name}: {bad} of {array.size} weights are NaN or infinite; repair them, or leave it out")
    if array.dtype != np.float64:
        return bool(array.any())
    return 1 / _EXTREME < _largest(array, False) < _EXTREME  # squares stay within the floats


@final
@dataclass(frozen=True, eq=False)
class _Trial:
    """What one step came to."""

    step: float
    groups: Sequence[Quantized]
    codes: Mapping[str, Code]
    file_bytes: int
    distortion: float


@final
class _Search:
    """The search for the step: a secant in logarithms."""

    def __init__(
        self, tensors: Mapping[str, np.ndarray], chosen: Mapping[str, np.ndarray], budget: Budget, tools: Tools,
        metadata: Mapping[str, str], reference: int | None,
    ) -> None:  # fmt: skip
        self._tensors, self._chosen, self._budget = tensors, chosen, budget
        self._tools, self._metadata = tools, metadata
        self._dense = self._lossless(name for name in tensors if name not in chosen)
        self._energy = {name: _energy(array) for name, array in chosen.items()}
        elements = sum(array.size for array in tensors.values() if array.ndim >= 2)
        self._size = budget.bytes(elements, reference)
        self._target = sum(self._energy.values(), 0.0) / 10 ** ((budget.snr or 0) / 10)
        self._quantizers: list[Quantizer] = []
        self._least = 0.0

    def run(self, watch: Watch) -> Fitted:
        """Return the best of the trials."""
        if not self._chosen:
            return self._nothing()
        step = self._prepare(self._first_cell())
        last, best, seen = None, None, list[tuple[float, float]]()
        for number in range(1, PASSES + 1):
            last = self._trial(step, last)
            watch(number, last.file_bytes)
            wide = self._excess(last)
            seen.append((math.log2(step), wide))
            if wide <= 0 and (best is None or self._is_better(last, best)):
                best = last
            if self._is_enough(last) and number > 1:
                break
            wanted = 2.0 ** next_step(seen, self._slope(), self._aim() - _CARE * max(0, number - 3))
            step = max(wanted, self._least)  # lest integers leave their 32 bits
        if best is None:
            raise self._failure(last)
        return self._fitted(best, number)

    def _lossless(self, names: Iterable[str]) -> dict[str, Code]:
        """Return the codes of tensors that stay as they are."""
        codes: dict[str, Code] = {name: DenseCode.of(self._tensors[name]) for name in names}
        return shared(codes) if self._tools.shared else codes

    def _first_cell(self) -> float:
        """Return the cell of the water level that would take the budget if weights were Gaussian in each tensor."""
        counts = np.array([array.size for array in self._chosen.values()])
        return self._cell(np.array(list(self._energy.values())) / counts, counts)

    def _cell(self, variances: np.ndarray, counts: np.ndarray) -> float:
        """Return the cell of the water level that takes the budget for Gaussians of these variances."""
        least = float(variances.max()) * _FINEST
        if self._size is None:
            return math.sqrt(12 * max(water_filling(variances, counts, self._target).level, least))
        fixed = container.bits(self._dense, self._metadata) // 8 + _RECORD * len(self._chosen)
        if self._size <= fixed:
            raise self._failure(None)
        return math.sqrt(12 * max(water_filling_rate(variances, counts, 8 * (self._size - fixed)).level, least))

    def _prepare(self, cell: float) -> float:
        """Make the tensors ready and return the first step; those with weights too far from 0 for it stay lossless.

        Where there is no room for these, the step is larger.
        """
        tools, sources = self._tools, []
        largest = {name: _largest(array, tools.dct) for name, array in self._chosen.items()}
        far = {name for name, top in largest.items() if top > cell * _FARTHEST / 4}
        lossless = self._lossless(name for name in self._tensors if name in far or name in self._dense)
        if self._size is None or container.bits(lossless, self._metadata) // 8 <= self._size:
            self._dense = lossless
        near = {name: array for name, array in self._chosen.items() if name not in self._dense}
        self._least = max((largest[name] / _FARTHEST for name in near), default=0.0)
        cell = max(cell, 4 * self._least)
        for name, array in near.items():
            scales = ROWS | POSITIONS | (COLUMNS if array.ndim > 2 or tools.columns else 0) if tools.scales else 0
            sources.append(prepare(name, array, cell / _FINER, cosine=tools.dct, scales=scales))
        groups = [sources] if tools.shared else [[source] for source in sources]
        rate = SLOPE if tools.dead_zone else 0.0
        nu, moving = STATES[tools.states], tools.dead_zone
        self._quantizers = [Quantizer(group, nu, rate, tools.pairs, moving, moving) for group in groups]
        parts = 2 if tools.states > 1 else 1
        for _ in range(_REFINED if sources else 0):
            variances, counts = zip(*(q.spectrum(cell / parts) for q in self._quantizers), strict=True)
            used = np.concatenate(counts) > 0
            cell = max(self._cell(np.concatenate(variances)[used], np.concatenate(counts)[used]), 4 * self._least)
        return cell / parts

    def _trial(self, step: float, last: _Trial | None) -> _Trial:
        """Return what ``step`` comes to, with the code lengths of the last trial."""
        if last is None:
            groups = [quantizer.first(step) for quantizer in self._quantizers]
        else:
            groups = [q.again(group, step) for q, group in zip(self._quantizers, last.groups, strict=True)]
        made: dict[str, Code] = dict(self._dense)
        for group in groups:
            made |= group.codes()
        codes = {name: made[name] for name in self._tensors}
        distortion = sum(self._distortion(codes[name], array) for name, array in self._chosen.items())
        return _Trial(step, groups, codes, container.bits(codes, self._metadata) // 8, distortion)

    def _distortion(self, code: Code, array: np.ndarray) -> float:
        """Return Σ (w − ŵ)², exactly that of the file; it is needed only where it is what is asked."""
        if self._size is not None:
            return 0.0
        return _energy(code.decompress().astype(np.float64) - array)

    def _excess(self, trial: _Trial) -> float:
        """Return how far above the budget a trial is: in bits a weight, or octaves of the distortion's root."""
        if self._size is not None:
            return 8 * (trial.file_bytes - self._size) / sum(array.size for array in self._chosen.values())
        return math.log2(max(trial.distortion, 1e-300) / self._target) / 2 if self._target else 0.0

    def _aim(self) -> float:
        """Return the excess that the next trial should have."""
        if self._size is not None:
            return -8 * self._size * (1 - _AIM) / sum(array.size for array in self._chosen.values())
        return math.log2(_AIM_SNR) / 2

    def _slope(self) -> float:
        """Return how the excess changes with log₂ step where nothing is known yet."""
        return -0.8 if self._size is not None else 0.8

    def _is_enough(self, trial: _Trial) -> bool:
        """Say whether a trial ends the search."""
        if self._size is not None:
            return _ENOUGH * self._size <= trial.file_bytes <= self._size
        return _ENOUGH_SNR * self._target <= trial.distortion <= self._target

    def _is_better(self, trial: _Trial, best: _Trial) -> bool:
        """Say whether a trial within the budget is better than another."""
        return trial.file_bytes > best.file_bytes if self._size is not None else trial.file_bytes < best.file_bytes

    def _fitted(self, trial: _Trial, passes: int) -> Fitted:
        """Return the result."""
        lost = sum(
            _energy(trial.codes[name].decompress().astype(np.float64) - array) for name, array in self._chosen.items()
        )
        energy = sum(self._energy.values())
        snr = 10 * math.log10(energy / lost) if lost else math.inf
        kept = tuple(name for name in self._chosen if name in self._dense)
        return Fitted(trial.codes, self._budget, trial.file_bytes, snr, trial.step, passes, kept)

    def _nothing(self) -> Fitted:
        """Return the result where there is nothing to quantize."""
        size = container.bits(self._dense, self._metadata) // 8
        if self._size is not None and size > self._size:
            raise self._failure(None)
        return Fitted(self._dense, self._budget, size, math.inf, 0.0, 0)

    def _failure(self, trial: _Trial | None) -> PlanError:
        """Return the error of a budget that was not met."""
        if self._size is None:
            return PlanError(f"no step gives {self._budget}: the tensors' own type is too coarse for it")
        least = container.bits(self._dense, self._metadata) // 8
        reached = f"the smallest file tried has {trial.file_bytes:,}" if trial is not None else "names take the rest"
        return PlanError(
            f"{self._budget} are {self._size:,} bytes, too few: biases, norms and names that are stored as they are "
            f"take {least:,}, and {reached}"
        )


def _largest(array: np.ndarray, transformed: bool) -> float:
    """Return the largest magnitude, or what the coefficients of a cosine transform stay below."""
    largest = max(float(array.max()), -float(array.min()))
    return largest * (math.sqrt(math.prod(array.shape[2:])) if transformed else 1.0)


def _energy(array: np.ndarray) -> float:
    """Return the sum of squares."""
    flat = array.reshape(-1)
    return float(sum(np.square(flat[i : i + 2**20], dtype=np.float64).sum() for i in range(0, len(flat), 2**20)))


__all__ = ["PASSES", "QUALITIES", "Budget", "Fitted", "Tools", "fit"]
