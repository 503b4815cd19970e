"""The table of a `.lac` file as frozen values, to bytes and back; every claim is checked before it is believed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from laconic.codes import CODES, DTYPES
from laconic.coding import Cursor, varint
from laconic.errors import FormatError

BLOCK = 1 << 20
"""Symbols or values in each block of a stream but the last."""

MAX_AXES, MAX_FACTS, MAX_DEPTH, MAX_ELEMENTS, MAX_ALPHABET = 32, 8, 8, 1 << 36, 1 << 32


@final
@dataclass(frozen=True)
class Block:
    """Some coded bytes.

    Args:
        offset: where they begin in the file.
        length: how many they are.
        crc: their CRC-32.
    """

    offset: int
    length: int
    crc: int


@final
@dataclass(frozen=True)
class Stream:
    """What the table says of a stream.

    Args:
        dtype: element type of values, or None for symbols.
        alphabet: number of possible symbols; 0 for values.
        count: number of symbols or values.
        blocks: ⌈count / 2²⁰⌉ of them.
    """

    dtype: str | None
    alphabet: int
    count: int
    blocks: tuple[Block, ...]

    @property
    def length(self) -> int:
        """Bytes of all blocks."""
        return sum(block.length for block in self.blocks)


@final
@dataclass(frozen=True)
class Record:
    """What the table says of a code: each part is the number of a stream or a nested record."""

    tag: int
    dtype: str
    shape: tuple[int, ...]
    facts: tuple[int, ...]
    parts: "tuple[int | Record, ...]"


@final
@dataclass(frozen=True)
class Table:
    """Everything that is known of a file before a block is read."""

    metadata: Mapping[str, str]
    streams: tuple[Stream, ...]
    tensors: Mapping[str, Record]

    def pack(self) -> bytes:
        """Return the table's bytes."""
        return b"".join([_pack_metadata(self.metadata), _pack_streams(self.streams), _pack_tensors(self.tensors)])


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise `FormatError` for a shape that no file can hold."""
    if len(shape) > MAX_AXES or math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise FormatError(f"shape {shape}: more than {MAX_AXES} axes or 2^36 elements")


def _pack_string(text: str) -> bytes:
    """Return ``text`` with its length before it."""
    data = text.encode()
    return varint(len(data)) + data


def _pack_metadata(metadata: Mapping[str, str]) -> bytes:
    """Return the pairs in the order of their keys."""
    pairs = [_pack_string(key) + _pack_string(metadata[key]) for key in sorted(metadata)]
    return varint(len(pairs)) + b"".join(pairs)


def _pack_streams(streams: tuple[Stream, ...]) -> bytes:
    """Return the list of streams."""
    out = [varint(len(streams))]
    for stream in streams:
        kind = (0, stream.alphabet) if stream.dtype is None else (1, DTYPES.index(stream.dtype))
        out += [varint(kind[0]), varint(kind[1]), varint(stream.count)]
        out += [varint(block.length) + block.crc.to_bytes(4, "little") for block in stream.blocks]
    return b"".join(out)


def _pack_tensors(tensors: Mapping[str, Record]) -> bytes:
    """Return the list of tensors."""
    return varint(len(tensors)) + b"".join(_pack_string(name) + _pack_record(r) for name, r in tensors.items())


def _pack_record(record: Record) -> bytes:
    """Return a record and all that is nested in it."""
    numbers = [record.tag, DTYPES.index(record.dtype), len(record.shape), *record.shape]
    numbers += [len(record.facts), *record.facts]
    parts = [varint(0) + _pack_record(p) if isinstance(p, Record) else varint(1 + p) for p in record.parts]
    return b"".join([*map(varint, numbers), *parts])


def parse_table(data: bytes, origin: int, first_block: int, part_counts: Mapping[int, int]) -> Table:
    """Return the table in ``data``, which begins at byte ``origin`` of the file.

    Args:
        data: the table, its checksum checked.
        origin: where it begins, which is also where the blocks end.
        first_block: where they begin.
        part_counts: for each tag the number of parts of its record.

    Raises:
        FormatError: when anything in it departs from `docs/format.md`.
    """
    cursor = Cursor(data, origin)
    metadata = _parse_metadata(cursor)
    streams, end = _parse_streams(cursor, first_block)
    if end != origin:
        raise cursor.fail(f"the blocks end at byte {end}, the table begins at byte {origin}")
    reader = _Records(cursor, len(streams), part_counts)
    tensors = reader.tensors()
    if reader.used != len(streams):
        raise cursor.fail(f"{len(streams)} streams, of which only {reader.used} are used")
    if cursor.left:
        raise cursor.fail(f"{cursor.left} bytes after the last tensor")
    return Table(metadata, streams, tensors)


def _parse_string(cursor: Cursor) -> str:
    """Return the next string."""
    data = bytes(cursor.take(cursor.varint()))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise cursor.fail(f"a name that is not UTF-8 ({error.reason})") from None


def _parse_metadata(cursor: Cursor) -> dict[str, str]:
    """Return the pairs, whose keys must ascend."""
    metadata: dict[str, str] = {}
    last = None
    for _ in range(cursor.varint()):
        key = _parse_string(cursor)
        if last is not None and key <= last:
            raise cursor.fail(f"metadata {key!r} after {last!r}: keys ascend")
        metadata[key] = _parse_string(cursor)
        last = key
    return metadata


def _parse_streams(cursor: Cursor, offset: int) -> tuple[tuple[Stream, ...], int]:
    """Return the streams, the first block of which begins at ``offset``, and where the last one ends."""
    streams = []
    for _ in range(cursor.varint()):
        kind, argument, count = cursor.varint(), cursor.varint(), cursor.varint()
        limit = (MAX_ALPHABET + 1, len(DTYPES))[kind] if kind < 2 else 0
        if argument >= limit or (kind == 0 and argument == 0 and count):
            raise cursor.fail(f"unknown stream: kind {kind}, alphabet or dtype {argument}, count {count}")
        number = -(-count // BLOCK)
        if 5 * number > cursor.left:
            raise cursor.fail(f"a stream of {count}, and only {cursor.left} bytes of table for its {number} blocks")
        blocks = []
        for _ in range(number):
            block = Block(offset, cursor.varint(), cursor.unsigned(4))
            if block.length < 2:
                raise cursor.fail(f"a block of {block.length} bytes; the shortest has 2")
            offset += block.length
            blocks.append(block)
        streams.append(Stream(DTYPES[argument] if kind else None, 0 if kind else argument, count, tuple(blocks)))
    return tuple(streams), offset


@final
class _Records:
    """The reader of the last part of a table; it knows how many streams have been used so far."""

    def __init__(self, cursor: Cursor, streams: int, part_counts: Mapping[int, int]) -> None:
        self.used = 0
        self._cursor = cursor
        self._streams = streams
        self._part_counts = part_counts

    def tensors(self) -> dict[str, Record]:
        """Return the records by name."""
        found: dict[str, Record] = {}
        for _ in range(self._cursor.varint()):
            name = _parse_string(self._cursor)
            if name in found:
                raise self._cursor.fail(f"two tensors are called {name!r}")
            found[name] = self._record(1)
        return found

    def _record(self, depth: int) -> Record:
        """Return the next record, nested ``depth`` deep."""
        cursor = self._cursor
        tag, dtype = cursor.varint(), cursor.varint()
        if depth > MAX_DEPTH or tag >= len(CODES) or dtype >= len(DTYPES):
            raise cursor.fail(f"unknown code: tag {tag}, dtype {dtype}, depth {depth}")
        shape = self._numbers(MAX_AXES)
        check_shape(shape)
        facts = self._numbers(MAX_FACTS)
        parts = tuple(self._part(depth) for _ in range(self._part_counts[tag]))
        return Record(tag, DTYPES[dtype], shape, facts, parts)

    def _numbers(self, limit: int) -> tuple[int, ...]:
        """Return a list of numbers with its length before it."""
        length = self._cursor.varint()
        if length > limit:
            raise self._cursor.fail(f"{length} dimensions or facts, of {limit} at most")
        return tuple(self._cursor.varint() for _ in range(length))

    def _part(self, depth: int) -> "int | Record":
        """Return the number of a stream, which must be known or the next one, or a nested record."""
        number = self._cursor.varint()
        if number == 0:
            return self._record(depth + 1)
        if number > min(self.used + 1, self._streams):
            raise self._cursor.fail(f"stream {number - 1}, the next new one is {self.used} of {self._streams}")
        self.used = max(self.used, number)
        return number - 1
