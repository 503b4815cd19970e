"""Bytes to the table of a `.lac` file: every claim is checked before anything is allocated for it."""

from abc import ABC, abstractmethod
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
    metadata = parse_metadata(cursor)
    streams, end = _parse_streams(cursor, first_block)
    if end != origin:
        raise cursor.fail(f"the blocks end at byte {end}, the table begins at byte {origin}")
    return Table(metadata, streams, parse_tensors(_Rows(cursor), streams))


def _parse_string(cursor: Cursor) -> str:
    """Return the next string."""
    return _text(cursor, bytes(cursor.take(cursor.varint())))


def _text(cursor: Cursor, data: bytes) -> str:
    """Return the text whose UTF-8 form is ``data``."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise cursor.fail(f"a name that is not UTF-8 ({error.reason})") from None


def parse_metadata(cursor: Cursor) -> dict[str, str]:
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
        check_stream(cursor, kind, argument, count)
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


def check_stream(cursor: Cursor, kind: int, argument: int, count: int) -> None:
    """Raise `FormatError` for a stream that there cannot be."""
    limit = (MAX_ALPHABET + 1, len(DTYPES))[kind] if kind < 2 else 0
    if argument >= limit or (kind == 0 and argument == 0 and count):
        raise cursor.fail(f"unknown stream: kind {kind}, alphabet or dtype {argument}, count {count}")


class Source(ABC):
    """Where the numbers of tensors come from, in the order in which a record is told.

    Args:
        cursor: in the table.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    @abstractmethod
    def tensors(self) -> int:
        """Return how many there are."""

    @abstractmethod
    def name(self) -> tuple[int, int, bytes]:
        """Return what the next name shares with the one before it, head and tail, and what is between them."""

    @abstractmethod
    def kind(self) -> tuple[int, int]:
        """Return tag and dtype number of the next record."""

    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Return the shape of this record."""

    @abstractmethod
    def facts(self, tag: int) -> tuple[int, ...]:
        """Return the facts of this record."""

    @abstractmethod
    def part(self, used: int) -> int:
        """Return 0 for a nested record, or 1 + the number of a stream; ``used`` of them have been."""

    def end(self) -> None:  # noqa: B027 - most have nothing to say
        """Raise `FormatError` for what belongs to no tensor."""

    def few(self, number: int, limit: int) -> int:
        """Return ``number``, of dimensions or facts, which is at most ``limit``."""
        if number > limit:
            raise self.cursor.fail(f"{number} dimensions or facts, of {limit} at most")
        return number


@final
class _Rows(Source):
    """One number after the other, as they are needed."""

    def tensors(self) -> int:
        return self.cursor.varint()

    def name(self) -> tuple[int, int, bytes]:
        head, tail = self.cursor.varint(), self.cursor.varint()
        return head, tail, bytes(self.cursor.take(self.cursor.varint()))

    def kind(self) -> tuple[int, int]:
        return self.cursor.varint(), self.cursor.varint()

    def shape(self) -> tuple[int, ...]:
        return self._numbers(MAX_AXES)

    def facts(self, tag: int) -> tuple[int, ...]:
        return self._numbers(MAX_FACTS)

    def part(self, used: int) -> int:
        return self.cursor.varint()

    def _numbers(self, limit: int) -> tuple[int, ...]:
        """Return a list of numbers with its length before it."""
        return tuple(self.cursor.varint() for _ in range(self.few(self.cursor.varint(), limit)))


def parse_tensors(source: Source, streams: tuple[Stream, ...]) -> dict[str, Record]:
    """Return the records by name, which use all of ``streams``; nothing may come after them.

    Raises:
        FormatError: when anything in them departs from `docs/format.md`.
    """
    records = _Records(source, streams)
    tensors = records.tensors()
    source.end()
    if records.used != len(streams):
        raise source.cursor.fail(f"{len(streams)} streams, of which only {records.used} are used")
    if source.cursor.left:
        raise source.cursor.fail(f"{source.cursor.left} bytes after the last tensor")
    return tensors


@final
class _Records:
    """The reader of the last part of a table; it knows how many streams have been used so far."""

    def __init__(self, source: Source, streams: tuple[Stream, ...]) -> None:
        self.used = 0
        self._source = source
        self._cursor = source.cursor
        self._streams = streams

    def tensors(self) -> dict[str, Record]:
        """Return the records by name."""
        records: dict[str, Record] = {}
        before = b""
        for _ in range(self._source.tensors()):
            before = self._name(before)
            name = _text(self._cursor, before)
            if name in records:
                raise self._cursor.fail(f"two tensors are called {name!r}")
            records[name] = self._record(1)
        return records

    def _name(self, before: bytes) -> bytes:
        """Return the next name, which shares as much as it can of its head and its tail with ``before``."""
        head, tail, middle = self._source.name()
        if head + tail > len(before):
            raise self._cursor.fail(f"a name that shares {head} and {tail} bytes with {before!r}")
        name = before[:head] + middle + before[len(before) - tail :]
        if len(name) > MAX_NAME:
            raise self._cursor.fail(f"a name of {len(name)} bytes, of {MAX_NAME} at most")
        if shared_ends(name, before) != (head, tail):
            raise self._cursor.fail(f"a name that shares more than {head} and {tail} bytes with {before!r}")
        return name

    def _record(self, depth: int) -> Record:
        """Return the next record, nested ``depth`` deep."""
        cursor, source = self._cursor, self._source
        tag, dtype = source.kind()
        if depth > MAX_DEPTH or tag not in CODES or dtype >= len(DTYPES):
            raise cursor.fail(f"unknown code: tag {tag}, dtype {dtype}, depth {depth}")
        shape = source.shape()
        check_shape(shape)
        facts = source.facts(tag)
        try:
            kinds = tuple(CODES[tag].parts(facts).values())
        except FormatError as error:
            raise cursor.fail(str(error)) from None
        parts = tuple(self._part(kind, depth) for kind in kinds)
        return Record(tag, DTYPES[dtype], shape, facts, parts)

    def _part(self, kind: type[Part], depth: int) -> "int | Record":
        """Return a nested record, or the number of a stream, which must be known or the next one."""
        number = self._source.part(self.used)
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
