"""The model of levels: what tensors on one grid share beside the step, as bytes and as tables.

Bytes: one byte, ν (bits 0–2) and whether levels are coded in pairs (bit 3); the number of offsets (one byte, at most
15) and the offsets (i8); the number of classes (one byte, 1 to 128); then, in bits, the tables of class 0, 1, …, one
(ν = 0) or of even and then odd levels, filled up with zeros. A class is a scale: weights of like variance share it,
and it is known before they are read.

A table gives costs in eighths of a bit to the sizes 0 to M − 1 (`laconic.format.coding.levels`); the frequencies
follow from them by integer arithmetic (`frequencies_of`). `docs/format.md` is normative.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import FormatError
from laconic.format.coding.bits import BitReader, BitWriter
from laconic.format.coding.levels import SIZES, centre_of, raw_bits
from laconic.format.coding.ungerboeck import PARITY_CHECKS
from laconic.format.coding.varints import Cursor

PRECISION = 12
"""Logarithm of the sum of a table's frequencies."""

TOTAL = 1 << PRECISION

UNIT = 256
"""Offsets are in units of 1/256 step: exact in a float, and too fine to cost anything measurable."""

MAX_OFFSETS, MAX_CLASSES = 15, 128

EIGHTHS = 8
"""Costs are in eighths of a bit."""

MAX_COST = 127

_WEIGHTS = (16777216, 15384775, 14107901, 12937002, 11863283, 10878679, 9975792, 9147842)  # 2^(24 − k/8), rounded
_COST_BITS, _SLOPE_BITS, _GOLOMB = 7, 16, 2


@final
@dataclass(frozen=True)
class Table:
    """The costs of the sizes of one class and parity, in eighths of a bit.

    Args:
        costs: for sizes 0, 1, …, each 0 to 127; empty where the table is never used.
        shape: (c₁, slope, curvature) that give the costs from size 1 on, or None where each is told.
    """

    costs: tuple[int, ...]
    shape: tuple[int, int, int] | None = None


@final
@dataclass(frozen=True, eq=False)
class Model:
    """What the levels of several tensors share.

    Args:
        nu: 2^ν states of the trellis; 0 for none.
        pairs: levels are coded two at a time.
        offsets: int8, for |v| = 1, 2, …; the last holds for all larger |v|.
        tables: for each class one table, or with a trellis two: of even and of odd levels.
    """

    nu: int
    pairs: bool
    offsets: np.ndarray
    tables: tuple[tuple[Table, ...], ...]

    @property
    def trellis(self) -> bool:
        """Whether there is a trellis."""
        return self.nu > 0

    def pack(self) -> bytes:
        """Return the bytes."""
        head = bytes([self.nu | self.pairs << 3])
        head += bytes([len(self.offsets)]) + self.offsets.tobytes() + bytes([len(self.tables)])
        writer = BitWriter()
        for table in self._flat():
            _write_table(writer, table)
        return head + writer.bytes()

    def frequencies(self) -> np.ndarray:
        """Return the frequency of each symbol, shape (tables, 256), int64; all 0 where a table is never used."""
        parities = 2 if self.trellis else 1
        return np.stack([frequencies_of(t.costs, odd=bool(i % parities)) for i, t in enumerate(self._flat())])

    def _flat(self) -> Iterator[Table]:
        """Give all tables, class by class."""
        for tables in self.tables:
            yield from tables


def parse_model(data: bytes) -> Model:
    """Invert `Model.pack`.

    Raises:
        FormatError: when ``data`` is not what it writes.
    """
    cursor = Cursor(data)
    head = cursor.unsigned(1)
    nu, pairs = head & 7, bool(head & 8)
    if head > 15 or (nu and nu not in PARITY_CHECKS) or (nu and pairs):
        raise FormatError(f"a model of levels that begins with {head}")
    count = cursor.unsigned(1)
    if count > MAX_OFFSETS:
        raise FormatError(f"{count} offsets, of {MAX_OFFSETS} at most")
    offsets = np.frombuffer(bytes(cursor.take(count)), np.int8)
    classes = cursor.unsigned(1)
    if not 1 <= classes <= MAX_CLASSES:
        raise FormatError(f"{classes} classes, not 1 to {MAX_CLASSES}")
    reader = BitReader(bytes(cursor.rest()))
    parities = (False, True) if nu else (False,)
    tables = tuple(tuple(_read_table(reader, odd) for odd in parities) for _ in range(classes))
    reader.finish()
    return Model(nu, pairs, offsets, tables)


def frequencies_of(costs: Sequence[int], *, odd: bool) -> np.ndarray:
    """Return the frequencies of the symbols, shape (256,), int64, sum 2¹²; the two signs of a size have the same.

    With weights ω_c = 2^(24 − c/8), an integer: size m ≥ 1 has max(1, round(2¹² ω_m / W)), W the sum over all
    symbols, and size 0 has what is left.

    Raises:
        FormatError: when nothing is left for size 0.
    """
    frequencies = np.zeros(2 * SIZES, np.int64)
    if not costs:
        return frequencies
    weights = [_WEIGHTS[cost % 8] >> cost // 8 for cost in costs]
    total, whole = (TOTAL // 2, sum(weights)) if odd else (TOTAL, weights[0] + 2 * sum(weights[1:]))
    shares = [max(1, (weight * total + whole // 2) // whole) for weight in weights[1:]]
    first = total - sum(shares) if odd else total - 2 * sum(shares)
    if first < 1:
        raise FormatError("a table of levels that leaves nothing for the first")
    if odd:
        frequencies[: 2 * len(costs)] = np.repeat([first, *shares], 2)
    else:
        frequencies[: 2 * len(costs) - 1] = [first, *np.repeat(shares, 2)]
    return frequencies


def shaped(first: int, shape: tuple[int, int, int], count: int) -> tuple[int, ...]:
    """Return the costs of a table of ``count`` sizes whose logarithm is a parabola in the magnitude.

    c_m = c₁ + slope/2⁸ · (a − 1) + curvature/2¹⁶ · (a − 1)² − 8 · (raw bits of m), a the mean magnitude of the size,
    rounded and held within 0 … 127: a Laplacian where the curvature is 0, a Gaussian where the slope fits it.

    >>> shaped(0, (4, 1024, 0), 4)
    (0, 4, 8, 12)
    """
    c1, slope, curvature = shape
    sizes = np.arange(1, max(count, 1))
    tables = []
    for centre, bits in zip((centre_of(sizes) - 2).tolist(), raw_bits(sizes).tolist(), strict=True):
        scaled = 128 * slope * centre + (curvature * centre * centre >> 2) + (1 << 15)
        tables.append(min(max(c1 + (scaled >> 16) - EIGHTHS * bits, 0), MAX_COST))
    return (first, *tables)


def _write_table(writer: BitWriter, table: Table) -> None:
    """Write one table: the number of sizes, then the first cost and either the differences or the shape."""
    writer.put(len(table.costs), 8)
    if len(table.costs) < 2:
        return
    writer.put(table.shape is not None, 1)
    writer.put(table.costs[0], _COST_BITS)
    if table.shape is not None:
        c1, slope, curvature = table.shape
        writer.put(c1, _COST_BITS)
        writer.put(slope, _SLOPE_BITS)
        writer.put(curvature, _SLOPE_BITS)
        return
    for before, cost in zip(table.costs, table.costs[1:], strict=False):
        writer.signed_golomb(cost - before, _GOLOMB)


def _read_table(reader: BitReader, odd: bool) -> Table:
    """Invert `_write_table`, and check that the frequencies exist."""
    count = reader.get(8)
    if count > SIZES:
        raise FormatError(f"a table of {count} sizes, of {SIZES} at most")
    if count < 2:
        return Table((0,) * count)
    is_shape, costs = reader.get(1), [reader.get(_COST_BITS)]
    if is_shape:
        shape = reader.get(_COST_BITS), reader.get(_SLOPE_BITS), reader.get(_SLOPE_BITS)
        table = Table(shaped(costs[0], shape, count), shape)
    else:
        for _ in range(count - 1):
            costs.append(costs[-1] + reader.signed_golomb(_GOLOMB))
            if not 0 <= costs[-1] <= MAX_COST:
                raise FormatError(f"a cost of {costs[-1]} eighths of a bit, not 0 to {MAX_COST}")
        table = Table(tuple(costs))
    frequencies_of(table.costs, odd=odd)
    return table


def table_bits(table: Table) -> int:
    """Return the bits of ``table`` in the model."""
    writer = BitWriter()
    _write_table(writer, table)
    return len(writer)
