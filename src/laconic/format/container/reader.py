"""A `.lac` file opened: the table is read and checked at once, each tensor when it is asked for."""

import mmap
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import final
from weakref import WeakValueDictionary

import numpy as np

from laconic.errors import FormatError
from laconic.format.codes import Code
from laconic.format.container.charges import Charge, charges
from laconic.format.container.header import HEADER_BYTES, parse_header
from laconic.format.container.parsing import parse_table
from laconic.format.container.records import StreamPart, build_code, decode_stream, stream_numbers
from laconic.format.container.room import default_limit, require_room
from laconic.format.container.table import Table

KEPT = 1 << 24
"""Bytes up to which a stream that several tensors share stays decoded while the file is open."""


@final
@dataclass(frozen=True, eq=False)
class Contents:
    """All that a file holds.

    Args:
        codes: by name, in the order of the file.
        metadata: as text.
    """

    codes: Mapping[str, Code]
    metadata: Mapping[str, str]


@final
class LacFile(Mapping[str, np.ndarray]):
    """A file, open for reading: a mapping from names to decompressed tensors that reads only what it is asked for.

    What several codes share is one object, as it was when it was written, for as long as one of them lives; a small
    stream that several tensors share is decoded once.

    Args:
        data: the bytes, or a map of them.
        label: what to call the file in messages.
        limit: bytes that one tensor, decoded, may take with its streams; None for 1 GiB or 1000 times the length of
            the file, whichever is more, and at most this machine's memory.

    Raises:
        FormatError: when header or table are not sound.
    """

    def __init__(self, data: "bytes | mmap.mmap", label: str, limit: int | None = None) -> None:
        self._data = data
        self._limit = default_limit(len(data)) if limit is None else limit
        self._label = label
        self._live: WeakValueDictionary[int, StreamPart] = WeakValueDictionary()
        self._kept: dict[int, StreamPart] = {}
        try:
            self._table = _table(data)
        except FormatError as error:
            raise FormatError(f"{label}: {error}") from None

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the text kept beside the tensors."""
        return dict(self._table.metadata)

    def __getitem__(self, name: str) -> np.ndarray:
        with self._naming(name):
            return self._build(name).decompress()

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.tensors)

    def __len__(self) -> int:
        return len(self._table.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._table.tensors

    def code(self, name: str) -> Code:
        """Return the code of the tensor called ``name``, reading its blocks alone.

        Raises:
            KeyError: when there is no such tensor.
            FormatError: naming file, tensor and byte, when one of its blocks is damaged; naming both numbers, when
                it would take more bytes than the limit.
        """
        with self._naming(name):
            code = self._build(name)
            code.check()
            return code

    def codes(self) -> dict[str, Code]:
        """Return all codes by name, in the order of the file; names of one tensor have one object."""
        codes: dict[str, Code] = {}
        for name in self:
            codes[name] = codes[self.ties[name]] if name in self.ties else self.code(name)
        return codes

    @property
    def ties(self) -> Mapping[str, str]:
        """The further names of tensors that have several, with the first of each."""
        return self._table.ties

    def charges(self) -> list[Charge]:
        """Return where the bytes are; nothing is decoded. The charges sum to the file exactly."""
        return charges(self._table, len(self._data))

    def close(self) -> None:
        """Let go of the file; tensors and codes that were read stay."""
        self._kept.clear()
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __enter__(self) -> "LacFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _build(self, name: str) -> Code:
        """Return the code of a tensor."""
        record = self._table.tensors[name]
        require_room(record, self._table.streams, self._limit)
        return build_code(record, self._stream)

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Let errors of the format name file and tensor."""
        try:
            yield
        except FormatError as error:
            raise FormatError(f"{self._label}: tensor {name!r}: {error}") from None

    def _stream(self, number: int) -> StreamPart:
        """Return a stream, the same object as long as it lives."""
        part = self._live.get(number)
        if part is None:
            part = decode_stream(self._table.streams[number], lambda at, length: self._data[at : at + length])
            self._live[number] = part
            if part.array.nbytes <= KEPT and number in self._shared:
                self._kept[number] = part
        return part

    @cached_property
    def _shared(self) -> frozenset[int]:
        """The numbers of the streams that several tensors use."""
        users = Counter(number for record in self._table.tensors.values() for number in stream_numbers(record))
        return frozenset(number for number, count in users.items() if count > 1)


def open(path: str | Path, limit: int | None = None) -> LacFile:
    """Open a `.lac` file for reading.

    Args:
        path: the file.
        limit: bytes that one tensor may take decoded, see `LacFile`.

    Raises:
        FormatError: naming file and byte, when it is not a sound `.lac` file.
        OSError: when it cannot be read.
    """
    with Path(path).open("rb") as file:
        empty = file.seek(0, 2) == 0
        data = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return LacFile(data, str(path), limit)


def loads(data: bytes, limit: int | None = None) -> Contents:
    """Return all that the bytes of a file hold.

    Args:
        data: the bytes.
        limit: bytes that one tensor may take decoded, see `LacFile`.

    Raises:
        FormatError: when they are not a sound `.lac` file.
    """
    file = LacFile(data, ".lac data", limit)
    return Contents(file.codes(), file.metadata)


def _table(data: "bytes | mmap.mmap") -> Table:
    """Return the table of a file, all its claims checked."""
    header = parse_header(data[:HEADER_BYTES], len(data))
    table = data[header.table_offset :]
    if zlib.crc32(table) != header.table_crc:
        raise FormatError(f"byte {header.table_offset}: the table is damaged (its checksum differs)")
    return parse_table(table, header.table_offset, HEADER_BYTES)
