"""Levels to bytes and back: rANS by the tables of a model, class by class.

The order of the levels is by class; a segment is a run of one class. `laconic.format.coding.lanes` says which lane
takes which and how the bytes lie. With a trellis every lane walks through its own, from state 0.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from laconic.compiled import COMPILED
from laconic.errors import FormatError
from laconic.format.coding import encoder, fused, vectorised
from laconic.format.coding.fitting import coded_bits
from laconic.format.coding.lanes import GROUP, LOW, SPARE, Lanes, lane_count, parse_lanes
from laconic.format.coding.levels import ALPHABET, DIRECT, SIZES, level_of, raw_bits, sizes_of
from laconic.format.coding.model import PRECISION, TOTAL, UNIT, Model
from laconic.format.coding.packing import frozen
from laconic.format.coding.pairs import SIDE, paired
from laconic.format.coding.ungerboeck import feedback
from laconic.format.coding.varints import Cursor

_EXACT = DIRECT + 4 * (22 - 4)
"""Sizes whose magnitudes are below 2²², and their levels below 2²⁴: integers that are float32."""

_AT_ONCE = 1 << 17
"""Levels that are counted at once."""


@final
@dataclass(frozen=True, eq=False)
class Segments:
    """Runs of levels of one class.

    Args:
        classes: shape (segments,), int64.
        borders: shape (segments + 1,), int64: the first level of each, and the number of all.
    """

    classes: np.ndarray
    borders: np.ndarray

    @classmethod
    def of_counts(cls, counts: np.ndarray) -> "Segments":
        """Return the segments of ``counts[c]`` levels of class c, in the order of the classes.

        >>> Segments.of_counts(np.array([0, 3, 2])).borders
        array([0, 3, 5])
        """
        used = np.flatnonzero(counts)
        return cls(used, np.concatenate([[0], np.cumsum(counts[used], dtype=np.int64)]))

    @property
    def size(self) -> int:
        """Number of levels."""
        return int(self.borders[-1])


@final
@dataclass(frozen=True, eq=False)
class Coder:
    """A model made ready: what is looked up for each symbol. Tables of pairs come after those of single levels."""

    model: Model

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.model.tables)

    @property
    def parities(self) -> int:
        """Tables that a class has."""
        return 2 if self.model.trellis else 1

    @cached_property
    def frequencies(self) -> np.ndarray:
        """Shape (tables, 256), int64: of single levels, class by class, and then of pairs."""
        single = self.model.frequencies()
        return np.concatenate([single, np.array([paired(f) for f in single])]) if self.model.pairs else single

    @cached_property
    def used(self) -> np.ndarray:
        """Which tables have frequencies, shape (tables,)."""
        return np.asarray(self.frequencies.any(axis=1))

    @cached_property
    def told(self) -> np.ndarray:
        """Which classes have a table, of even levels or of odd ones, shape (classes,)."""
        return np.asarray(self.used[: self.classes * self.parities].reshape(self.classes, -1).any(axis=1))

    @cached_property
    def slots(self) -> np.ndarray:
        """Slots of all tables, uint32, shape (tables · 2¹²,): see `coding.fused`; zeros for unused tables."""
        rows = np.zeros((len(self.frequencies), TOTAL), np.uint32)
        for row, f in zip(rows, self.frequencies, strict=True):
            if f.any():
                symbol = np.repeat(np.arange(ALPHABET), f)
                bias = np.cumsum(f) - f
                row[:] = (f[symbol] - 1) | (np.arange(TOTAL) - bias[symbol]) << PRECISION | symbol << 24
        return frozen(rows.reshape(-1))

    @cached_property
    def reciprocals(self) -> np.ndarray:
        """For each table and symbol, uint64: ⌊2⁴³/f⌋, f and bias; f = 1 where it is 0."""
        f = np.maximum(self.frequencies, 1).astype(np.uint64)
        bias = np.cumsum(self.frequencies, axis=1) - self.frequencies
        return frozen(np.stack([np.uint64(1 << 31 + PRECISION) // f, f, bias.astype(np.uint64)], axis=-1))

    def plan(self, segments: Segments) -> np.ndarray:
        """Return the segments as `coding.fused` takes them, with the numbers of tables for their places."""
        single = segments.classes * self.parities
        pairs = np.zeros(len(single), np.bool_)
        if self.model.pairs:
            pairs |= self.used[self.classes + segments.classes]
        units = np.where(pairs, (np.diff(segments.borders) + 1) // 2, np.diff(segments.borders))
        plan = np.zeros((len(units) + 1, 4), np.int64)
        plan[1:, 0] = np.cumsum(units)
        plan[:-1, 1:] = np.stack(
            [segments.borders[:-1], np.where(pairs, single + self.classes, single), single], axis=1
        )
        return plan

    def values(self, step: float, offsets: np.ndarray) -> np.ndarray:
        """Return `(v + sgn(v) o_|v| / 256) · step` of the levels of symbols below 31, float64, shape (2 · 256,)."""
        values = np.zeros((2, ALPHABET))
        symbols = np.arange(2 * DIRECT)
        for odd in range(self.parities):
            levels = level_of(symbols, odd=bool(odd), trellis=self.model.trellis)
            values[odd, : len(symbols)] = moved(levels, offsets) * step
        return values.reshape(-1)

    def bits(self, levels: np.ndarray, segments: Segments) -> float:
        """Return what ``levels``, integers in the order of the segments, cost one by one by the tables, in bits."""
        trellis, total = self.model.trellis, 0.0
        for c, first, end in zip(segments.classes.tolist(), segments.borders[:-1], segments.borders[1:], strict=True):
            for parity in range(self.parities):
                counts = np.zeros(SIZES, np.int64)
                for at in range(first, end, _AT_ONCE):
                    part = levels[at : min(at + _AT_ONCE, end)].astype(np.int64)
                    own = part[part & 1 == parity] if trellis else part
                    counts += np.bincount(sizes_of(own, trellis=trellis), minlength=SIZES)
                total += coded_bits(self.model.tables[c][parity], counts, odd=bool(parity))
        return total


def moved(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return `v + sgn(v) o_|v| / 256` in float64 for integers v, the last offset for all larger |v|.

    >>> moved(np.array([-3, 0, 1]), np.int8([64, -64]))
    array([-2.75,  0.  ,  1.25])
    """
    values = levels.astype(np.float64)
    if len(offsets):
        places = np.minimum(np.abs(levels), len(offsets))
        values += np.sign(values) * np.concatenate([[0.0], offsets / UNIT])[places]
    return values


def encode_levels(levels: np.ndarray, segments: Segments, coder: Coder) -> bytes:
    """Return ``levels`` (shape (segments.size,), int8 to int64, in the order of the segments) as bytes.

    Every symbol that occurs must have a frequency, and with a trellis every lane's levels must be a path through it.
    """
    if not len(levels):
        return b""
    plan, trellis = coder.plan(segments), coder.model.trellis
    units = int(plan[-1, 0])
    lanes = lane_count(units)
    groups = -(-lanes // GROUP)
    largest = int(raw_bits(sizes_of(np.array([max(int(levels.max()), -int(levels.min()))]), trellis=trellis))[0])
    words_each = (1 + (largest > 0) + (largest > 16)) * (1 + 2 * coder.model.pairs)
    room = (-(-units // lanes)) * min(lanes, GROUP) * words_each
    states, places = np.full(lanes, LOW, np.uint64), np.zeros(groups, np.uint64)
    words = np.empty(1 + groups * room, np.uint16)
    counts = np.diff(segments.borders)
    encoder.encode(
        frozen(levels), np.uint64(trellis), plan, counts, coder.reciprocals, np.uint64(room), states, words, places
    )
    pieces = [words[int(at) : (g + 1) * room + 1] for g, at in enumerate(places)]
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    return Lanes(states, np.concatenate([*pieces, np.zeros(SPARE, np.uint16)]), ends).pack()


def decode_levels(data: bytes | memoryview, segments: Segments, coder: Coder) -> np.ndarray:
    """Invert `encode_levels`, int64.

    Raises:
        FormatError: when ``data`` is not what it writes.
    """
    return _decode(data, segments, coder, np.dtype(np.int64), 1.0, np.zeros(0, np.int8))


def decode_counts(data: bytes | memoryview, segments: Segments, coder: Coder) -> np.ndarray:
    """Return what `decode_levels` does, as float32 where no level of the tables leaves its integers, else as float64.

    Raises:
        FormatError: when ``data`` is not what it writes.
    """
    most = max((len(table.costs) for tables in coder.model.tables for table in tables), default=0)
    kind = np.dtype(np.float32 if most <= _EXACT else np.float64)
    return _decode(data, segments, coder, kind, 1.0, np.zeros(0, np.int8))


def decode_weights(
    data: bytes | memoryview, segments: Segments, coder: Coder, step: float, dtype: np.dtype
) -> np.ndarray:
    """Return `(v + sgn(v) o_|v| / 256) · step` of the levels v, in ``dtype``: float32 or float64.

    Raises:
        FormatError: when ``data`` is not what `encode_levels` writes.
    """
    with np.errstate(over="ignore", under="ignore"):
        return _decode(data, segments, coder, dtype, step, coder.model.offsets)


def _decode(
    data: bytes | memoryview, segments: Segments, coder: Coder, dtype: np.dtype, step: float, offsets: np.ndarray
) -> np.ndarray:
    """Return what the levels stand for."""
    if not segments.size:
        if len(data):
            raise FormatError(f"{len(data)} bytes for no levels")
        return np.empty(0, dtype)
    if not coder.told[segments.classes].all():
        raise FormatError("levels of a class that has no table")
    plan = coder.plan(segments)
    lanes = parse_lanes(Cursor(data), lane_count(int(plan[-1, 0])))
    places, states = lanes.ends[:-1].astype(np.uint64), lanes.states
    plan[:, 2:] <<= PRECISION
    values = coder.values(step, offsets).astype(dtype)
    small = values[:SIDE]
    couples = np.zeros(2 * ALPHABET, dtype)
    couples[: 2 * SIDE * SIDE] = np.stack([np.repeat(small, SIDE), np.tile(small, SIDE)], axis=1).reshape(-1)
    xors = np.array(feedback(coder.model.nu), np.uint64)
    scales = np.array([step, offsets[-1] / UNIT if len(offsets) else 0.0])
    out = np.empty(segments.size + 1, dtype)
    trellis = coder.model.trellis
    kinds = [True if there else None for there in (not trellis, coder.model.pairs, trellis)]
    decoder = fused if COMPILED else vectorised
    decoder.decode(
        frozen(lanes.words), lanes.ends.astype(np.uint64), places, states, np.zeros(len(states), np.uint64),
        coder.slots, plan, values, couples, xors, scales, out, *kinds,
    )  # fmt: skip
    if (places != lanes.ends[1:].astype(np.uint64)).any() or (states != LOW).any():
        raise FormatError("levels that do not end where they began")
    return out[:-1]
