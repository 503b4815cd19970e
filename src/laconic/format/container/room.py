"""How much a file may ask for.

A tensor of one repeated value takes a few bytes of file, whatever its size: its claim cannot be told from a lie by
looking at the file. So there is a limit, which a reader who trusts the file can raise.
"""

import math
import os

from laconic.errors import FormatError
from laconic.format.coding import itemsize, symbol_dtype
from laconic.format.container.records import stream_numbers
from laconic.format.container.table import Record, Stream

LEAST, RATIO = 1 << 30, 1000
"""Bytes that any file may ask for, and how often its own length a larger one may."""


def default_limit(file_bytes: int) -> int:
    """Return the bytes that one tensor of a file may take: 1 GiB or 1000 files, at most the machine's memory."""
    return min(max(LEAST, RATIO * file_bytes), memory_bytes())


def require_room(record: Record, streams: tuple[Stream, ...], limit: int) -> None:
    """Raise `FormatError` when a tensor, what is nested in it and its streams take more than ``limit`` bytes."""
    claimed = _tensors(record) + sum(_stream(streams[number]) for number in stream_numbers(record))
    if claimed > limit:
        raise FormatError(
            f"claims {claimed:,} bytes decoded, above the limit of {limit:,}; if you trust the file, raise it: "
            "limit= in Python, --limit on the command line"
        )


def _tensors(record: Record) -> int:
    """Return the bytes of a record's tensor and of those nested in it."""
    own = math.prod(record.shape) * itemsize(record.dtype)
    return own + sum(_tensors(part) for part in record.parts if isinstance(part, Record))


def _stream(stream: Stream) -> int:
    """Return the bytes of a stream once it is decoded."""
    return stream.count * (symbol_dtype(stream.alphabet).itemsize if stream.dtype is None else itemsize(stream.dtype))


def memory_bytes() -> int:
    """Return the physical memory of this machine, or 2⁴⁰ where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 40
