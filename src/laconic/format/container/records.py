"""Codes and their parts: taken apart into streams and records, and put together again."""

import zlib
from collections.abc import Callable, Collection, Sequence

import numpy as np

from laconic.errors import FormatError
from laconic.format.codes import CODES, Code, Part, Symbols, Values
from laconic.format.codes.describe import Outline
from laconic.format.coding import decode_symbols, decode_values, dtype_of, encode_symbols, encode_values, symbol_dtype
from laconic.format.coding.classes import Runs
from laconic.format.container.table import BLOCK, Block, Record, Stream

StreamPart = Symbols | Values


def encode_blocks(part: StreamPart, runs: Sequence[int] = ()) -> list[bytes]:
    """Return the blocks of a stream.

    Args:
        part: the stream.
        runs: how many of its neighbours may be alike, such as a row: each is tried, and the shortest block taken.
    """
    return [_encode_block(part, at, runs) for at in range(0, len(part), BLOCK)]


def _encode_block(part: StreamPart, at: int, runs: Sequence[int]) -> bytes:
    """Return the block whose first symbol or value is number ``at``."""
    piece = part.array[at : at + BLOCK]
    cut: list[Runs | None] = [*(Runs.of(run, at) for run in runs)] or [None]
    if isinstance(part, Values):
        return min((encode_values(piece, each) for each in cut), key=len)
    return min((encode_symbols(piece, part.alphabet, each) for each in cut), key=len)


def measured(blocks: list[bytes]) -> tuple[tuple[int, int], ...]:
    """Return length and CRC-32 of each block."""
    return tuple((len(block), zlib.crc32(block)) for block in blocks)


def stream_entry(part: StreamPart, blocks: tuple[tuple[int, int], ...], offset: int) -> Stream:
    """Return what the table says of ``part``, whose ``blocks``, length and CRC-32, begin at byte ``offset``."""
    entries = []
    for length, crc in blocks:
        entries.append(Block(offset, length, crc))
        offset += length
    if isinstance(part, Values):
        return Stream(part.array.dtype.name, 0, len(part), tuple(entries))
    return Stream(None, part.alphabet, len(part), tuple(entries))


def decode_stream(stream: Stream, read: Callable[[int, int], bytes]) -> StreamPart:
    """Return the stream that ``stream`` describes.

    Args:
        stream: what the table says of it.
        read: gives so many bytes (second argument) from an offset (first).

    Raises:
        FormatError: with the byte's offset, when a block is damaged or is not what it should be.
    """
    kind = dtype_of(stream.dtype) if stream.dtype is not None else symbol_dtype(stream.alphabet)
    array = np.empty(stream.count, kind)
    for number, block in enumerate(stream.blocks):
        piece = array[number * BLOCK : (number + 1) * BLOCK]
        data = read(block.offset, block.length)
        if block.crc is not None and zlib.crc32(data) != block.crc:
            raise FormatError(f"byte {block.offset}: the block is damaged (its checksum differs)")
        try:
            if stream.dtype is not None:
                decode_values(data, len(piece), stream.dtype, piece)
            else:
                piece[:] = decode_symbols(data, len(piece), stream.alphabet)
        except FormatError as error:
            raise FormatError(f"byte {block.offset}: {error}") from None
    return Values(array) if stream.dtype is not None else Symbols(array, stream.alphabet)


def build_code(record: Record, stream: Callable[[int], StreamPart]) -> Code:
    """Return the code that ``record`` describes; ``stream`` gives the streams by number.

    Raises:
        FormatError: when the parts do not fit.
    """
    kind = CODES[record.tag]
    parts: dict[str, Part] = {}
    for name, part in zip(kind.parts(record.facts), record.parts, strict=True):
        parts[name] = build_code(part, stream) if isinstance(part, Record) else stream(part)
    code = kind.from_streams(record.shape, record.dtype, record.facts, parts)
    if code.facts() != record.facts:
        raise FormatError(f"a {kind.__name__} with facts {record.facts}")
    return code


def outline_of(record: Record, streams: tuple[Stream, ...]) -> Outline:
    """Return the outline of the code that ``record`` describes, without reading it."""
    kind = CODES[record.tag]
    parts: dict[str, int | Outline] = {}
    for name, part in zip(kind.parts(record.facts), record.parts, strict=True):
        parts[name] = outline_of(part, streams) if isinstance(part, Record) else streams[part].count
    return Outline(kind, record.shape, parts)


def stream_numbers(record: Record, only: Collection[str] = ()) -> set[int]:
    """Return the numbers of all streams that ``record`` uses, itself or nested; of the parts so called, if any are."""
    numbers: set[int] = set()
    for name, part in zip(CODES[record.tag].parts(record.facts), record.parts, strict=True):
        if isinstance(part, Record):
            numbers |= stream_numbers(part, only)
        elif not only or name in only:
            numbers.add(part)
    return numbers
