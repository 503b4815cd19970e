"""Whether this machine could hold what a table claims.

A tensor of one repeated value takes a few bytes of file, whatever its size: its claim cannot be told from a lie by
looking at the file, but it can be told that nobody here can have meant to open it.
"""

import math
import os

from laconic.coding import itemsize, symbol_dtype
from laconic.container.records import stream_numbers
from laconic.container.table import Record, Stream
from laconic.errors import FormatError


def require_room(record: Record, streams: tuple[Stream, ...]) -> None:
    """Raise `FormatError` when a tensor and its streams would take more bytes than this machine has memory."""
    claimed = math.prod(record.shape) * itemsize(record.dtype)
    claimed += sum(_claim(streams[number]) for number in stream_numbers(record))
    memory = memory_bytes()
    if claimed > memory:
        raise FormatError(f"claims {claimed / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB of memory")


def _claim(stream: Stream) -> int:
    """Return the bytes of a stream once it is decoded."""
    return stream.count * (symbol_dtype(stream.alphabet).itemsize if stream.dtype is None else itemsize(stream.dtype))


def memory_bytes() -> int:
    """Return the physical memory of this machine, or 2⁴⁰ where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 40
