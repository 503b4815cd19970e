"""Codes to a `.lac` file, one tensor at a time."""

import io
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, final
from weakref import WeakKeyDictionary

from laconic import interrupts
from laconic.errors import WeightsError
from laconic.format import enclosed
from laconic.format.codes import CODES, Code, Values
from laconic.format.container.deflated import stored
from laconic.format.container.header import HEADER_BYTES, Header
from laconic.format.container.records import StreamPart, encode_blocks, measured, stream_entry
from laconic.format.container.small import packed, size, small_file
from laconic.format.container.table import MAX_DEPTH, MAX_NAME, Record, Stream, Table, check_shape
from laconic.format.files import replace_file

Codes = Mapping[str, Code] | Iterable[tuple[str, Code]]
_TAGS = {kind: tag for tag, kind in CODES.items()}


def write(
    path: str | Path,
    codes: Codes,
    metadata: Mapping[str, str] | None = None,
    *,
    force: bool = False,
    small: bool = True,
    within_safetensors: bool = False,
) -> None:
    """Write ``codes`` to ``path``, all or nothing; each is encoded, written and let go before the next is asked for.

    The same codes give the same bytes, but for what another zlib makes of the table. A stream object that several codes
    share is stored once.

    Args:
        path: the file.
        codes: by name, or pairs of name and code, which a generator may make one by one.
        metadata: what else to keep, as text.
        force: replace an existing file.
        small: a file below 256 KiB has one checksum, which makes it shorter; without it each block has one, as those of
            large files, which says where it is damaged.
        within_safetensors: write a safetensors file of which it is the one tensor (`laconic.format.enclosed`).

    Raises:
        OutputExists: when ``path`` exists and ``force`` is not set.
        WeightsError: for two tensors of one name, and for a name that has no UTF-8 form.
    """
    first = enclosed.BEFORE if within_safetensors else 0
    with replace_file(Path(path), force=force) as file:
        file.write(bytes(first))
        length = _Builder().write(file, codes, metadata or {}, small=small)
        if first:
            file.seek(0)
            file.write(enclosed.before(length))


def dumps(codes: Codes, metadata: Mapping[str, str] | None = None, *, small: bool = True) -> bytes:
    """Return the bytes of the file that `write` would write."""
    file = io.BytesIO()
    _Builder().write(file, codes, metadata or {}, small=small)
    return file.getvalue()


def bits(codes: Codes, metadata: Mapping[str, str] | None = None) -> int:
    """Return 8 × the bytes of the file that `write` would write: the exact rate."""
    return 8 * _Builder(counting=True).size(codes, metadata or {})


@final
class _Builder:
    """A file in the making: what is known of the streams and tensors that have gone by.

    Args:
        counting: nobody takes the blocks: those that are known need not be made.
    """

    def __init__(self, *, counting: bool = False) -> None:
        self.offset = HEADER_BYTES
        self._counting = counting
        self._streams: list[Stream] = []
        self._records: dict[str, Record] = {}
        self._numbers: WeakKeyDictionary[StreamPart, int] = WeakKeyDictionary()

    def write(self, file: BinaryIO, codes: Codes, metadata: Mapping[str, str], *, small: bool) -> int:
        """Write a file from where ``file`` is, which is the end of it, and return its length.

        Blocks go as they come, then the table and the header; a small one is put together at the end.
        """
        first = file.tell()
        file.write(bytes(HEADER_BYTES))
        for block in self.blocks(codes, metadata):
            file.write(block)
        table = self._table(metadata)
        version, end = stored(table.pack())
        head = packed(table) if small else None
        if head is not None and size(head, table) < self.offset + len(end):
            file.seek(first + HEADER_BYTES)
            whole = small_file(head, file.read())
            file.seek(first)
            file.truncate()
            file.write(whole)
            return len(whole)
        file.write(end)
        file.seek(first)
        file.write(Header.of(end, self.offset, version).pack())
        return self.offset + len(end)

    def size(self, codes: Codes, metadata: Mapping[str, str]) -> int:
        """Return the bytes of the file that `write` would write."""
        for _ in self.blocks(codes, metadata):
            pass
        table = self._table(metadata)
        head, whole = packed(table), self.offset + len(stored(table.pack())[1])
        return whole if head is None else min(whole, size(head, table))

    def blocks(self, codes: Codes, metadata: Mapping[str, str]) -> Iterator[bytes]:
        """Give all blocks, in order; afterwards streams and records are known."""
        for text in [*metadata, *metadata.values()]:
            _check_text(text)
        for name, code in codes.items() if isinstance(codes, Mapping) else codes:
            interrupts.check()
            if name in self._records:
                raise WeightsError(f"two tensors are called {name!r}; give each its own name")
            _check_text(name)
            if len(name.encode()) > MAX_NAME:
                raise WeightsError(f"a name of {len(name.encode())} bytes, of {MAX_NAME} at most: {name[:40]!r}...")
            self._records[name] = yield from self._record(code, 1)

    def _table(self, metadata: Mapping[str, str]) -> Table:
        """Return the table of what has gone by."""
        return Table(metadata, tuple(self._streams), self._records)

    def _record(self, code: Code, depth: int) -> Generator[bytes, None, Record]:
        """Give the new blocks of ``code`` and return its record."""
        check_shape(code.shape)
        if depth > MAX_DEPTH:
            raise WeightsError(f"codes nest more than {MAX_DEPTH} deep")
        parts: list[int | Record] = []
        runs = code.runs()
        for name, part in code.streams().items():
            if isinstance(part, Code):
                parts.append((yield from self._record(part, depth + 1)))
                continue
            if part not in self._numbers:
                yield from self._stream(part, runs.get(name, ()))
            parts.append(self._numbers[part])
        return Record(_TAGS[type(code)], code.dtype, code.shape, code.facts(), tuple(parts))

    def _stream(self, part: StreamPart, runs: Sequence[int]) -> Iterator[bytes]:
        """Give the blocks of a stream that is not in the file yet, and whose runs of so many may be alike."""
        known = part.blocks if isinstance(part, Values) else None
        blocks = [] if known is not None and self._counting else encode_blocks(part, runs)
        entry = stream_entry(part, known if known is not None else measured(blocks), self.offset)
        assert self._counting or known is None or known == measured(blocks), "the numbers are on another machine"
        self._numbers[part] = len(self._streams)
        self._streams.append(entry)
        self.offset += entry.length
        yield from blocks


def _check_text(text: str) -> None:
    """Raise `WeightsError` for a name or metadata that cannot be written."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise WeightsError(f"{text!r} has no UTF-8 form; rename it") from None
