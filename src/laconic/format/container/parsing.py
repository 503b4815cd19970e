"""Bytes to the table of a `.lac` file: every claim is checked before anything is allocated for it."""

from typing import final

from laconic.errors import FormatError
from laconic.format.codes import CODES, DTYPES, Code, Part, Symbols
from laconic.format.coding import Cursor
from laconic.format.container.table import (
    BLOCK,
    MAX_ALPHABET,
    MAX_AXES,
    MAX_DEPTH,
    MAX_FACTS,
    MAX_NAME,
    Block,
    Record,
    Stream,
    Table,
    check_shape,
    shared_ends,
)


def parse_table(data: bytes, origin: int, first_block: int) -> Table:
    """Return the table in ``data``, which begins at byte ``origin`` of the file.

    Args:
        data: the table, plain, its checksum checked.
        origin: where it begins, which is also where the blocks end.
        first_block: where they begin.

    Raises:
        FormatError: when anything in it departs from `docs/format.md`.
    """
    cursor = Cursor(data, origin)
    metadata = _parse_metadata(cursor)
    streams, end = _parse_streams(cursor, first_block)
    if end != origin:
        raise cursor.fail(f"the blocks end at byte {end}, the table begins at byte {origin}")
    records = _Records(cursor, streams)
    tensors = records.tensors()
    if records.used != len(streams):
        raise cursor.fail(f"{len(streams)} streams, of which only {records.used} are used")
    if cursor.left:
        raise cursor.fail(f"{cursor.left} bytes after the last tensor")
    return Table(metadata, streams, tensors)


def _parse_string(cursor: Cursor) -> str:
    """Return the next string."""
    return _text(cursor, bytes(cursor.take(cursor.varint())))


def _text(cursor: Cursor, data: bytes) -> str:
    """Return the text whose UTF-8 form is ``data``."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise cursor.fail(f"a name that is not UTF-8 ({error.reason})") from None


def _parse_name(cursor: Cursor, before: bytes) -> bytes:
    """Return the next name, which shares as much as it can of its head and its tail with ``before``."""
    head, tail = cursor.varint(), cursor.varint()
    if head + tail > len(before):
        raise cursor.fail(f"a name that shares {head} and {tail} bytes with {before!r}")
    name = before[:head] + bytes(cursor.take(cursor.varint())) + before[len(before) - tail :]
    if len(name) > MAX_NAME:
        raise cursor.fail(f"a name of {len(name)} bytes, of {MAX_NAME} at most")
    if shared_ends(name, before) != (head, tail):
        raise cursor.fail(f"a name that shares more than {head} and {tail} bytes with {before!r}")
    return name


def _parse_metadata(cursor: Cursor) -> dict[str, str]:
    """Return the pairs, whose keys must ascend."""
    metadata: dict[str, str] = {}
    before = None
    for _ in range(cursor.varint()):
        key = _parse_string(cursor)
        if before is not None and key <= before:
            raise cursor.fail(f"metadata {key!r} after {before!r}: keys ascend")
        metadata[key] = _parse_string(cursor)
        before = key
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

    def __init__(self, cursor: Cursor, streams: tuple[Stream, ...]) -> None:
        self.used = 0
        self._cursor = cursor
        self._streams = streams

    def tensors(self) -> dict[str, Record]:
        """Return the records by name."""
        records: dict[str, Record] = {}
        before = b""
        for _ in range(self._cursor.varint()):
            before = _parse_name(self._cursor, before)
            name = _text(self._cursor, before)
            if name in records:
                raise self._cursor.fail(f"two tensors are called {name!r}")
            records[name] = self._record(1)
        return records

    def _record(self, depth: int) -> Record:
        """Return the next record, nested ``depth`` deep."""
        cursor = self._cursor
        tag, dtype = cursor.varint(), cursor.varint()
        if depth > MAX_DEPTH or tag not in CODES or dtype >= len(DTYPES):
            raise cursor.fail(f"unknown code: tag {tag}, dtype {dtype}, depth {depth}")
        shape = self._numbers(MAX_AXES)
        check_shape(shape)
        facts = self._numbers(MAX_FACTS)
        try:
            kinds = tuple(CODES[tag].parts(facts).values())
        except FormatError as error:
            raise cursor.fail(str(error)) from None
        parts = tuple(self._part(kind, depth) for kind in kinds)
        return Record(tag, DTYPES[dtype], shape, facts, parts)

    def _numbers(self, limit: int) -> tuple[int, ...]:
        """Return a list of numbers with its length before it."""
        length = self._cursor.varint()
        if length > limit:
            raise self._cursor.fail(f"{length} dimensions or facts, of {limit} at most")
        return tuple(self._cursor.varint() for _ in range(length))

    def _part(self, kind: type[Part], depth: int) -> "int | Record":
        """Return a nested record, or the number of a stream, which must be known or the next one."""
        number = self._cursor.varint()
        if (number == 0) != (kind is Code):
            raise self._cursor.fail(f"stream {number - 1} (-1: a nested code) in the place of {kind.__name__}")
        if number == 0:
            return self._record(depth + 1)
        if number > min(self.used + 1, len(self._streams)):
            raise self._cursor.fail(f"stream {number - 1}, the next new one is {self.used} of {len(self._streams)}")
        if (self._streams[number - 1].dtype is None) != (kind is Symbols):
            raise self._cursor.fail(f"stream {number - 1} does not hold {kind.__name__}")
        self.used = max(self.used, number)
        return number - 1
