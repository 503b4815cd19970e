"""Several tensors on one grid: integers, tables and step in turn, each the best given the others.

    min over v, o, step   Σ_t Σ_i h_ti (x_ti − (v_ti + sgn(v_ti) o_|v_ti|) step)² + rate · step² · Σ_t bits(v_t)

Method: code lengths from the last round's integers, integers by `nearest` or `paths`, offsets and step as weighted
least squares. A round costs one pass over the weights; a local optimum.

Source: Chou, Lookabaugh & Gray, "Entropy-constrained vector quantization" (IEEE Trans. ASSP 37, 1989), for a grid with
offsets and, with a trellis, for paths.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.format.codes.grid import Grid, GridCode
from laconic.format.codes.scales import Scales
from laconic.format.codes.streams import Values
from laconic.format.coding.fitting import coded_bits, fitted, smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.levels import SIZES
from laconic.format.coding.model import UNIT, Model
from laconic.format.coding.packing import frozen
from laconic.format.coding.ungerboeck import feedback
from laconic.quantize.lattice.assigned import OFFSETS, Assigned, Assignment
from laconic.quantize.lattice.moments import missed_each, refitted, stretches_of
from laconic.quantize.lattice.source import PER_OCTAVE, Source
from laconic.quantize.lattice.splice import spliced
from laconic.quantize.lattice.travel import (
    assigned_bytes,
    code_bytes,
    piece_bytes,
    read_assigned,
    read_code,
    read_piece,
)
from laconic.quantize.lattice.workers import Travel, Workers

SLOPE = math.log(2) / 6
"""−dD/dR in units of cell² where the cell is small: D = cell²/12, and a bit halves the cell."""

_BELOW = 2.0  # octaves below the cell at which the classes of scale begin: such weights cost next to nothing
_POPULATION = 256  # weights that the class of the largest scales has at least
_SAMPLE = 1 << 18  # weights of a tensor whose rounding tells enough of the first code lengths

ONE = Workers(1)
"""The thread that asks, and no other."""

Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Values, importances and classes of weights of one tensor, class by class."""


@final
@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantization of several tensors.

    Args:
        sources: the tensors.
        scales: of each tensor.
        levels: the integers of each tensor, class by class, of the shortest type that holds them; or None.
        counts: how often each size occurs in each class and of each parity, shape (classes, parities, 128).
        step: the width of a level that is best for the integers.
        model: the offsets and the tables that are.
        distortion: Σ h (w − ŵ)², in the units of the weights squared, before the last rounding.
        bits: of the levels by the tables; what the tables, lanes, scale symbols and names take is beside them.
        assignment: how the integers were chosen.
        lost: Σ (w − ŵ)² of each tensor, whatever its weights count.
        stretches: of each tensor, the factor of its own step that is best for its integers.
    """

    sources: Sequence[Source]
    scales: Sequence[Scales]
    levels: Sequence[np.ndarray] | None
    counts: np.ndarray
    step: float
    model: Model
    distortion: float
    bits: float
    assignment: Assignment
    lost: Sequence[float] = ()
    stretches: Sequence[float] = ()

    @property
    def error(self) -> float:
        """Σ (w − ŵ)², whatever weights count, before the last rounding."""
        weighed = any(len(source.importances) for source in self.sources)
        return math.fsum(self.lost) if weighed else self.distortion

    @property
    def file_bytes(self) -> float:
        """What levels and tables take in a file, within a byte or so a tensor: a lane keeps three bytes of its own."""
        lanes = sum(lane_count(source.size) for source in self.sources)
        return self.bits / 8 + 3 * lanes + len(self.model.pack())

    def learned(self, step: float) -> Assignment:
        """Return how integers are chosen at ``step`` with the code lengths and the offsets that these ask for."""
        offsets = np.concatenate([[0.0], self.model.offsets / UNIT, np.zeros(OFFSETS)])[: OFFSETS + 1]
        return replace(self.assignment, step=step, costs=smoothed_costs(self.counts), offsets=offsets)

    def codes(self, workers: Workers = ONE) -> dict[str, GridCode]:
        """Return the codes by name, of levels that are kept; what they share is one object."""
        assert self.levels is not None, "the integers are kept"
        shared = self._shared()

        def coded(pair: tuple[GridCode, np.ndarray]) -> GridCode:
            frame, levels = pair
            return GridCode.of_sorted(
                frame.shape, frame.dtype, levels, replace(shared, step=frame.step),
                transform=frame.transform, mode=frame.mode, start=frame.start,
            )  # fmt: skip

        frames = self._frames(shared)
        pairs, sizes = list(zip(frames.values(), self.levels, strict=True)), [len(levels) for levels in self.levels]
        travel = Travel[tuple[GridCode, np.ndarray], GridCode](
            list(frames), code_bytes, lambda pair, data: read_code(pair[0], data)
        )
        return dict(zip(frames, workers.map(coded, pairs, sizes, travel=travel), strict=True))

    def frames(self) -> dict[str, GridCode]:
        """Return the codes with all but the integers: what these are beside in a file."""
        return self._frames(self._shared())

    def _shared(self) -> Grid:
        """Return what the codes share."""
        symbols = [scales.symbols for scales in self.scales]
        return Grid.of(self.step, self.model, np.concatenate([np.zeros(0, np.int64), *symbols]))

    def _frames(self, shared: Grid) -> dict[str, GridCode]:
        """Return codes of nothing by name."""
        frames, start, nothing = {}, 0, Values(np.zeros(0, np.uint8))
        steps = {source.finer: Values(np.array([self.step / source.finer])) for source in self.sources}
        steps[1.0] = shared.step
        for source, scales in zip(self.sources, self.scales, strict=True):
            frames[source.name] = GridCode(
                source.shape, source.dtype, source.transform, source.mode, start,
                steps[source.finer], shared.model, shared.scales, nothing,
            )  # fmt: skip
            start += len(scales.symbols)
        return frames


@final
@dataclass(frozen=True)
class Quantizer:
    """Quantizes some tensors together.

    Args:
        sources: the tensors.
        nu: 2^ν states of the trellis; 0 for none.
        rate: what a bit costs, in units of the step², or of (2 step)² with a trellis, whose cells are so wide.
        pairs: whether integers are coded two at a time, without a trellis.
        moving: whether levels have offsets.
        stretching: whether the step is refitted to the integers.
        keeping: whether the integers are kept.
        workers: threads that take one tensor after the other.
        prices: of each tensor what a bit costs, in units of its own step², in place of ``rate``; or none.
        below: octaves below the cell at which the classes of scale begin.
    """

    sources: Sequence[Source]
    nu: int = 0
    rate: float = SLOPE
    pairs: bool = False
    moving: bool = True
    stretching: bool = True
    keeping: bool = True
    workers: Workers = ONE
    prices: Sequence[float] = ()
    below: float = _BELOW

    def first(self, step: float) -> Quantized:
        """Return the first round: with the code lengths of plain rounding."""
        scales = self.scales(step)
        return self.round(scales, self.rounding(scales, self.pieces(scales), step))

    def again(self, last: Quantized, step: float) -> Quantized:
        """Return the next round at another step, or the same: with the code lengths and offsets of the last."""
        return self.round(last.scales, last.learned(step))

    def round(self, scales: Sequence[Scales], how: Assignment) -> Quantized:
        """Return the best integers for the code lengths, and then the best of all else for these."""

        def rounded(place: int) -> Assigned:
            found = self.priced(place, how)(*_piece(self.sources[place], scales[place]))
            return found.packed() if self.keeping else replace(found, levels=found.levels[:0])

        places, sizes = range(len(self.sources)), [source.size for source in self.sources]
        return self._settled(scales, self.workers.map(rounded, places, sizes, travel=self._travel), how)

    def assigned(self, scales: Sequence[Scales], levels: Sequence[np.ndarray], how: Assignment) -> Quantized:
        """Return the round whose integers are given, those of each tensor row-major."""
        parities = 2 if self.nu else 1
        found = (
            Assigned.of(own.sorted(of.astype(np.int32)), *piece, how.step, (len(how.costs), parities))
            for of, own, piece in zip(levels, scales, self.pieces(scales), strict=True)
        )
        return self._settled(scales, found, how)

    def between(self, fine: Quantized, coarse: Quantized, share: float) -> Quantized:
        """Return ``share`` of the finer of two rounds with the same scales and kept integers, then the coarser."""
        assert fine.levels is not None, "integers of both are kept"
        assert coarse.levels is not None, "integers of both are kept"
        how, pairs = coarse.assignment, list(zip(fine.levels, coarse.levels, strict=True))

        def joined(place: int) -> Assigned:
            a, b = (levels.astype(np.int32) for levels in pairs[place])
            path = spliced(a, b, self.nu, *feedback(self.nu), lane_count(len(a)), share)
            piece = _piece(self.sources[place], coarse.scales[place])
            return Assigned.of(path, *piece, how.step, coarse.counts.shape[:2]).packed()

        places, sizes = range(len(pairs)), [source.size for source in self.sources]
        return self._settled(coarse.scales, self.workers.map(joined, places, sizes, travel=self._travel), how)

    def rehearsal(self, step: float, count: int) -> "Rehearsal":
        """Return some ``count`` of the weights, with the classes of scale around ``step``, to try steps on.

        They are drawn evenly from each tensor's, class by class, one at a random place of each stretch.
        """
        scales = self.scales(step)
        total = sum(source.size for source in self.sources)
        stride, rng = max(1.0, total / count), np.random.default_rng(0)
        drawn = [math.ceil(source.size / stride) for source in self.sources]
        shifts = [rng.random(many) if stride > 1 else np.zeros(many) for many in drawn]

        def some(pair: tuple[tuple[Source, Scales], np.ndarray]) -> Piece:
            values, weights, classes = _piece(*pair[0])
            places = ((np.arange(len(pair[1])) + pair[1]) * stride).astype(np.int64)
            here = np.minimum(places, len(values) - 1)
            heavy = weights[here] if len(weights) else weights
            return frozen(values[here]), frozen(heavy), frozen(classes[here])

        pairs = list(zip(zip(self.sources, scales, strict=True), shifts, strict=True))
        names = [source.name for source in self.sources]
        travel = Travel[tuple[tuple[Source, Scales], np.ndarray], Piece](names, piece_bytes, read_piece)
        pieces = list(self.workers.map(some, pairs, drawn, travel=travel))
        return Rehearsal(self, scales, pieces, total / max(sum(drawn), 1))

    def spectrum(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of each class of scale around a step, and how many weights it has, shape (128,) each."""
        zero = self._zero(step)
        counts = sum(
            (Scales(source.shape, source.mode, source.symbols(zero), 128).counts() for source in self.sources),
            np.zeros(128, np.int64),
        )
        return np.exp2(2 * (zero + np.arange(128) / PER_OCTAVE)), counts

    def scales(self, step: float) -> list[Scales]:
        """Return the scales of all tensors around a step."""
        zero = self._zero(step)
        found = [Scales(source.shape, source.mode, source.symbols(zero), 128) for source in self.sources]
        counts = sum((scales.counts() for scales in found), np.zeros(128, np.int64))
        above = np.cumsum(counts[::-1])[::-1]
        least = min(_POPULATION, max(int(above[0]), 1))
        top = int(np.flatnonzero(above >= least)[-1]) if above[0] else 0
        low = int(np.flatnonzero(counts)[0]) if above[0] else 0
        return [
            replace(scales, classes=top - low + 1, symbols=_rebased(source, scales, low, top))
            for source, scales in zip(self.sources, found, strict=True)
        ]

    def pieces(self, scales: Sequence[Scales]) -> Iterator[Piece]:
        """Give values, importances and classes of one tensor after the other, class by class."""
        return (_piece(source, own) for source, own in zip(self.sources, scales, strict=True))

    def rounding(self, scales: Sequence[Scales], pieces: Iterable[Piece], step: float) -> Assignment:
        """Return how integers are chosen with the code lengths of the nearest integers, as a sample has them."""
        classes = scales[0].classes if scales else 1
        plain = Assignment(step, 0, 0.0, np.zeros((classes, 1), np.float32), np.zeros(1))
        counts = self._blank(classes)
        for values, weights, own in pieces:
            some = slice(None, None, max(1, len(values) // _SAMPLE))
            counts += plain(frozen(values[some]), frozen(weights[some]), frozen(own[some]), counts.shape[1]).counts
        price = self.rate * (4 if self.nu else 1)
        return Assignment(step, self.nu, price, smoothed_costs(counts), np.zeros(OFFSETS + 1))

    def priced(self, place: int, how: Assignment) -> Assignment:
        """Return how the integers of one tensor are chosen, at its own price of a bit where there is one."""
        return replace(how, rate=self.prices[place]) if self.prices else how

    @property
    def _travel(self) -> Travel[int, Assigned]:
        """How what is known of integers gets from rank to rank."""
        return Travel([source.name for source in self.sources], assigned_bytes, read_assigned)

    def _zero(self, step: float) -> float:
        """Return log₂ of the scale of class 0 around a step."""
        return math.log2(step * (2 if self.nu else 1)) - self.below

    def _blank(self, classes: int) -> np.ndarray:
        """Return counts of nothing yet."""
        return np.zeros((classes, 2 if self.nu else 1, SIZES), np.int64)

    def _settled(self, scales: Sequence[Scales], found: Iterable[Assigned], how: Assignment) -> Quantized:
        """Return the round with these integers, tensor by tensor: tables, offsets and step are the best for them."""
        counts, moments, levels = self._blank(len(how.costs)), np.zeros((OFFSETS + 1, 6)), []
        weighed, plain = [], []
        for one in found:
            counts += one.counts
            moments += one.moments
            weighed.append(one.moments)
            plain.append(one.plain)
            if self.keeping:
                levels.append(one.levels)
        offsets, stretch, distortion = refitted(moments, moving=self.moving, stretching=self.stretching)
        tables = tuple(tuple(fitted(row, odd=bool(parity)) for parity, row in enumerate(own)) for own in counts)
        bits = sum(
            coded_bits(table, row, odd=bool(parity))
            for own, rows in zip(tables, counts, strict=True)
            for parity, (table, row) in enumerate(zip(own, rows, strict=True))
        )
        model = Model(self.nu, self.pairs and not self.nu, offsets, tables)
        units = [(how.step / source.finer) ** 2 for source in self.sources]
        lost, each = (
            [own * unit for own, unit in zip(missed_each(of, offsets, stretch), units, strict=True)]
            for of in (plain, weighed)
        )
        alike = all(source.finer == 1 for source in self.sources)
        return Quantized(
            self.sources, scales, levels if self.keeping else None, counts, how.step * stretch, model,
            distortion * how.step**2 if alike else math.fsum(each), bits, how, lost, stretches_of(weighed, offsets),
        )  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A few of the weights, which stand for all: trying a step on them takes no time.

    Args:
        quantizer: of all.
        scales: of all tensors.
        pieces: the few.
        share: how many weights each of them stands for.
    """

    quantizer: Quantizer
    scales: Sequence[Scales]
    pieces: Sequence[Piece]
    share: float

    def first(self, step: float) -> Quantized:
        """Return the first round."""
        return self.round(self.quantizer.rounding(self.scales, self.pieces, step))

    def round(self, how: Assignment) -> Quantized:
        """Return a round, its counts those of the few, bits and distortion those of all."""
        few, sizes = replace(self.quantizer, keeping=False), [len(piece[0]) for piece in self.pieces]
        found = few._settled(
            self.scales,
            few.workers.map(lambda at: few.priced(at, how)(*self.pieces[at]), range(len(sizes)), sizes),
            how,
        )
        shares = [source.size / max(size, 1) for source, size in zip(self.quantizer.sources, sizes, strict=True)]
        lost = [share * lost for share, lost in zip(shares, found.lost, strict=True)]
        return replace(found, bits=found.bits * self.share, distortion=found.distortion * self.share, lost=lost)


def _piece(source: Source, scales: Scales) -> Piece:
    """Return values, importances and classes of a tensor, class by class."""
    segments = scales.segments()
    classes = np.repeat(segments.classes.astype(np.uint8), np.diff(segments.borders))
    weights = scales.sorted(source.importances) if len(source.importances) else source.importances
    weights = weights.astype(np.float64, copy=False)
    return frozen(scales.sorted(source.values())), frozen(weights), frozen(classes)


def _rebased(source: Source, scales: Scales, low: int, top: int) -> np.ndarray:
    """Return the symbols with class ``low`` as 0; those of rows end at ``top`` where nothing is taken off them."""
    rows = len(source.row_scales)
    symbols = scales.symbols.copy()
    symbols[:rows] = np.maximum(symbols[:rows] - low, 0)
    return symbols if len(source.deficits) else np.minimum(symbols, top - low)
