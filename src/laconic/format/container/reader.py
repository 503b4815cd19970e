"""A `.lac` file opened: the table is read and checked at once, each tensor when it is asked for."""

import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import final
from weakref import WeakValueDictionary

import numpy as np

from laconic import interrupts
from laconic.errors import FormatError
from laconic.format import enclosed
from laconic.format.codes import Code
from laconic.format.container.charges import Charge, beside, charges, parts
from laconic.format.container.deflated import inflated
from laconic.format.container.header import HEADER_BYTES, PLAIN, SMALL, parse_header, parse_version
from laconic.format.container.parsing import parse_table
from laconic.format.container.records import StreamPart, build_code, decode_stream
from laconic.format.container.room import Holding, Limits, kept_streams, require_room, require_sum
from laconic.format.container.small import small_table
from laconic.format.container.table import Table
from laconic.format.enclosed import Part
from laconic.format.signatures import require_lac

Data = bytes | mmap.mmap | Part
"""The bytes of a file, or a map of them."""


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

    What several codes share is one object, as it was when it was written, for as long as one of them lives; small
    streams that several tensors share are decoded once.

    Args:
        data: the bytes, or a map of them.
        label: what to call the file in messages.
        limit: bytes that a tensor, decoded, may take with its streams, and all tensors together that one call gives
            back or writes; with 64 multiply-adds for each. None for 1 GiB or 1000 times the length of the file,
            whichever is more, and at most this machine's memory for what is in memory at once.

    Raises:
        FormatError: when header or table are not sound.
    """

    def __init__(self, data: "Data", label: str, limit: int | None = None) -> None:
        self._data = data
        self._limits = Limits.of(len(data), limit)
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
        interrupts.check()
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
                it would take more bytes than the limit, or more work.
        """
        with self._naming(name):
            code = self._build(name)
            code.check()
            return code

    def codes(self) -> dict[str, Code]:
        """Return all codes by name, in the order of the file; names of one tensor have one object.

        Raises:
            FormatError: as `code`, and as `require_room`.
        """
        self.require_room("codes")
        codes: dict[str, Code] = {}
        for name in self:
            codes[name] = codes[self.ties[name]] if name in self.ties else self.code(name)
        return codes

    @property
    def ties(self) -> Mapping[str, str]:
        """The further names of tensors that have several, with the first of each."""
        return self._table.ties

    def require_room(self, holding: Holding = "tensors") -> None:
        """Say whether all tensors may be read, before any is: for whoever is going to read every one.

        A mapping cannot know: ``dict(file)`` holds each tensor to the limit, and not their sum.

        Args:
            holding: what is in memory when all have been read: tensors, codes, or nothing, where each goes when the
                next one comes.

        Raises:
            FormatError: naming what is claimed and the limit, when a tensor or all together would take more bytes,
                or more work, than it allows.
        """
        for name, record in self._table.tensors.items():
            with self._naming(name):
                require_room(record, self._table.streams, self._limits)
        try:
            require_sum(self._table, self._shared, self._limits, holding)
        except FormatError as error:
            raise FormatError(f"{self._label}: {error}") from None

    def charges(self) -> list[Charge]:
        """Return where the bytes are; nothing is decoded. The charges sum to the file exactly."""
        return charges(self._table, len(self._data))

    def parts(self, names: Iterable[str]) -> Mapping[str, int]:
        """Return the bytes of blocks of some tensors by part, as "payload"; nothing is decoded.

        Args:
            names: of tensors; what is nested in their codes is left out.
        """
        return parts(self._table, names)

    def beside(self) -> Mapping[str, int]:
        """Return what each tensor's charge has of codebooks, scales, steps and code lengths, by its first name."""
        return beside(self._table)

    def close(self) -> None:
        """Let go of the file; tensors and codes that were read stay."""
        self._kept.clear()
        if not isinstance(self._data, bytes):
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
        require_room(record, self._table.streams, self._limits)
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
            if number in self._shared:
                self._kept[number] = part
        return part

    @cached_property
    def _shared(self) -> frozenset[int]:
        """The numbers of the streams that stay decoded, for several tensors use them."""
        return kept_streams(self._table)


def open(path: str | Path, limit: int | None = None) -> LacFile:
    """Open a `.lac` file for reading.

    Args:
        path: the file; or a folder of a model, with the file in its `model.lac.safetensors`; or that.
        limit: bytes that a tensor may take decoded, and all together, see `LacFile`.

    Raises:
        FormatError: naming file and byte, when it is not a sound `.lac` file.
        OSError: when it cannot be read.
    """
    where, start = enclosed.found(Path(path))
    if not start:
        require_lac(where)
    with where.open("rb") as file:
        empty = file.seek(0, 2) == 0
        data = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return LacFile(Part(data, start) if isinstance(data, mmap.mmap) and start else data, str(path), limit)


def loads(data: bytes, limit: int | None = None) -> Contents:
    """Return all that the bytes of a file hold.

    Args:
        data: the bytes.
        limit: bytes that a tensor may take decoded, and all together, see `LacFile`.

    Raises:
        FormatError: when they are not a sound `.lac` file, or hold more than the limit allows.
    """
    file = LacFile(data, ".lac data", limit)
    return Contents(file.codes(), file.metadata)


def _table(data: "Data") -> Table:
    """Return the table of a file, all its claims checked."""
    if parse_version(data[:HEADER_BYTES]) == SMALL:
        return small_table(data[:])
    header = parse_header(data[:HEADER_BYTES], len(data))
    table = data[header.table_offset :]
    if zlib.crc32(table) != header.table_crc:
        raise FormatError(f"byte {header.table_offset}: the table is damaged (its checksum differs)")
    if header.version == PLAIN:
        return parse_table(table, header.table_offset, HEADER_BYTES)
    plain = inflated(table, header.table_offset)
    try:
        return parse_table(plain, header.table_offset, HEADER_BYTES)
    except FormatError as error:
        raise FormatError(f"{error} (counted in the inflated table)") from None
