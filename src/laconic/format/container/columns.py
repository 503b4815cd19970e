"""The table of a small file: the same numbers by columns, where those that are alike stand side by side."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import final

from laconic.format.codes import DTYPES
from laconic.format.coding import Cursor, itemsize, varint
from laconic.format.container.parsing import Source, check_stream, parse_metadata, parse_tensors
from laconic.format.container.table import (
    BLOCK,
    MAX_AXES,
    MAX_FACTS,
    Block,
    Record,
    Stream,
    Table,
    pack_metadata,
    shared_ends,
)

_ROOM = 8
"""Bytes that a block of values may be longer than these are."""

_ALL = 1 << 64


def has_columns(table: Table) -> bool:
    """Say whether the blocks of values are no longer than columns can tell."""
    told = (zip(stream.blocks, _longest(stream), strict=True) for stream in table.streams if stream.dtype is not None)
    return all(block.length <= most for stream in told for block, most in stream)


def pack_columns(table: Table) -> bytes:
    """Return the bytes of a table by columns, which it has."""
    return pack_metadata(table.metadata) + _pack_streams(table.streams) + _pack_tensors(table)


def parse_columns(data: bytes, origin: int, blocks: tuple[int, int]) -> Table:
    """Return the table in ``data``, which was deflated at byte ``origin`` of the file.

    Args:
        data: the table, inflated.
        origin: where it was stored.
        blocks: where the blocks begin, and where they end.

    Raises:
        FormatError: when anything in it departs from `docs/format.md`.
    """
    cursor = Cursor(data, origin)
    metadata = parse_metadata(cursor)
    streams, end = _parse_streams(cursor, blocks[0])
    if end != blocks[1]:
        raise cursor.fail(f"the blocks end at byte {end}, the file at byte {blocks[1]}")
    return Table(metadata, streams, parse_tensors(_Columns(cursor), streams))


def _pack_streams(streams: tuple[Stream, ...]) -> bytes:
    """Return number, kinds, counts and lengths."""
    kinds = [2 * s.alphabet if s.dtype is None else 2 * DTYPES.index(s.dtype) + 1 for s in streams]
    lengths = [_told(block.length, most) for s in streams for block, most in zip(s.blocks, _longest(s), strict=True)]
    return _varints([len(streams), *kinds, *(stream.count for stream in streams), *lengths])


def _parse_streams(cursor: Cursor, offset: int) -> tuple[tuple[Stream, ...], int]:
    """Return the streams, the first block of which begins at ``offset``, and where the last one ends."""
    kinds = _column(cursor, cursor.varint())
    counts = _column(cursor, len(kinds))
    streams = []
    for kind, count in zip(kinds, counts, strict=True):
        check_stream(cursor, kind % 2, kind // 2, count)
        streams.append(Stream(DTYPES[kind // 2] if kind % 2 else None, 0 if kind % 2 else kind // 2, count, ()))
    lengths = iter(_column(cursor, sum(-(-count // BLOCK) for count in counts)))
    full = []
    for stream in streams:
        blocks = []
        for most in _longest(stream):
            length = _told(next(lengths), most)
            if length < 2:
                raise cursor.fail(f"a block of {length} bytes; the shortest has 2")
            blocks.append(Block(offset, length, None))
            offset += length
        full.append(Stream(stream.dtype, stream.alphabet, stream.count, tuple(blocks)))
    return tuple(full), offset


def _longest(stream: Stream) -> list[int]:
    """Return how long each block of values can be at most; 0 for those of symbols.

    >>> _longest(Stream("float32", 0, 3, ())), _longest(Stream(None, 2, 3, ()))
    ([20], [0])
    """
    size = 0 if stream.dtype is None else itemsize(stream.dtype)
    return [size and size * min(BLOCK, stream.count - at) + _ROOM for at in range(0, stream.count, BLOCK)]


def _told(length: int, most: int) -> int:
    """Return what is written for the length of a block, and for that the length: of values what it is below the most.

    >>> _told(13, 20), _told(_told(13, 20), 20), _told(13, 0)
    (7, 13, 13)
    """
    return most - length if most else length


@final
class _Columns(Source):
    """Columns, read whole but for the last one, each of which gives its next number."""

    def __init__(self, cursor: Cursor) -> None:
        super().__init__(cursor)
        self._tensors, records = cursor.varint(), cursor.varint()
        heads, tails, lengths = (_column(cursor, self._tensors) for _ in range(3))
        middles = [bytes(cursor.take(length)) for length in lengths]
        self._names = iter(list(zip(heads, tails, middles, strict=True)))
        self._kinds = iter(list(zip(_column(cursor, records), _column(cursor, records), strict=True)))
        self._shapes = self._lists(_column(cursor, records), MAX_AXES)
        self._facts = self._lists(_column(cursor, records), MAX_FACTS)
        self._last: dict[int, tuple[int, ...]] = {}
        self._left = records

    def _lists(self, lengths: list[int], limit: int) -> Iterator[tuple[int, ...]]:
        """Return the lists of these lengths, one column altogether."""
        column = iter(_column(self.cursor, sum(self.few(length, limit) for length in lengths)))
        return iter([tuple(islice(column, length)) for length in lengths])

    def tensors(self) -> int:
        return self._tensors

    def name(self) -> tuple[int, int, bytes]:
        return next(self._names)

    def kind(self) -> tuple[int, int]:
        if not self._left:
            raise self.cursor.fail("more records than are told")
        self._left -= 1
        return next(self._kinds)

    def shape(self) -> tuple[int, ...]:
        return next(self._shapes)

    def facts(self, tag: int) -> tuple[int, ...]:
        before = self._last.get(tag, ()) + (0,) * MAX_FACTS
        self._last[tag] = tuple(
            (b + _unfolded(change)) % _ALL for change, b in zip(next(self._facts), before, strict=False)
        )
        return self._last[tag]

    def part(self, used: int) -> int:
        number = self.cursor.varint()
        return number and (used + 1 if number == 1 else number - 1)

    def end(self) -> None:
        if self._left:
            raise self.cursor.fail(f"{self._left} records belong to no tensor")


def _pack_tensors(table: Table) -> bytes:
    """Return the numbers of tensors and records, the columns of names, and those of records."""
    heads, tails, middles, before = list[int](), list[int](), list[bytes](), b""
    for name in map(str.encode, table.tensors):
        head, tail = shared_ends(name, before)
        heads.append(head)
        tails.append(tail)
        middles.append(name[head : len(name) - tail])
        before = name
    records = [one for record in table.tensors.values() for one in _walk(record)]
    numbers = [len(heads), len(records), *heads, *tails, *map(len, middles)]
    columns = [one.tag for one in records] + [DTYPES.index(one.dtype) for one in records]
    columns += [len(one.shape) for one in records] + [size for one in records for size in one.shape]
    columns += [len(one.facts) for one in records] + _changes(records)
    return _varints(numbers) + b"".join(middles) + _varints(columns + _parts(table.tensors.values()))


def _walk(record: Record) -> Iterator[Record]:
    """Give a record and all that is nested in it, each before what it holds."""
    yield record
    for part in record.parts:
        if isinstance(part, Record):
            yield from _walk(part)


def _changes(records: list[Record]) -> list[int]:
    """Return the facts of records as what they are beside those of the last one with the same tag."""
    last, changes = dict[int, tuple[int, ...]](), list[int]()
    for record in records:
        before = last.get(record.tag, ())
        changes += [
            _folded(fact - (before[place] if place < len(before) else 0)) for place, fact in enumerate(record.facts)
        ]
        last[record.tag] = record.facts
    return changes


def _folded(change: int) -> int:
    """Return a difference modulo 2⁶⁴ as a number that is small where its size is.

    >>> [_folded(change) for change in (0, -1, 1, -2)]
    [0, 1, 2, 3]
    """
    change = (change + _ALL // 2) % _ALL - _ALL // 2
    return 2 * change if change >= 0 else -2 * change - 1


def _unfolded(number: int) -> int:
    """Return the difference that `_folded` gives a number for.

    >>> [_unfolded(_folded(change)) for change in (0, -1, 1, -(2**63))]
    [0, -1, 1, -9223372036854775808]
    """
    return -(number + 1) // 2 if number % 2 else number // 2


def _parts(records: Iterable[Record]) -> list[int]:
    """Return the parts of records: 0 for a nested one, 1 for the next new stream, 2 + the number of another."""
    used, parts = 0, list[int]()
    for record in records:
        for one in _in_order(record):
            parts.append(0 if one is None else 1 if one == used else 2 + one)
            used += one == used
    return parts


def _in_order(record: Record) -> Iterator[int | None]:
    """Give the parts of a record, with those of a nested one, itself None, where it is."""
    for part in record.parts:
        if isinstance(part, Record):
            yield None
            yield from _in_order(part)
        else:
            yield part


def _varints(numbers: list[int]) -> bytes:
    """Return numbers one after the other."""
    return b"".join(map(varint, numbers))


def _column(cursor: Cursor, count: int) -> list[int]:
    """Return the next ``count`` numbers, each a byte or more."""
    if count > cursor.left:
        raise cursor.fail(f"{count} numbers are to follow in {cursor.left} bytes")
    return [cursor.varint() for _ in range(count)]
