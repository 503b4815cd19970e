"""How much a file may ask for.

A tensor of one repeated value takes a few bytes of file, whatever its size, and a product of two of them as little:
its claim cannot be told from a lie by looking at the file. So there is a limit, which a reader who trusts the file can
raise. It holds for each tensor, for the sum of all that one call gives back or writes, and, times `WORK`, for the
multiplications.
"""

import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from laconic.errors import FormatError
from laconic.format.coding import itemsize, symbol_dtype
from laconic.format.container.effort import multiply_adds, working_bytes
from laconic.format.container.records import stream_numbers
from laconic.format.container.table import Record, Stream, Table

LEAST, RATIO = 1 << 30, 1000
"""Bytes that any file may ask for, and how often its own length a larger one may."""

WORK = 64
"""Multiply-adds for each byte of the limit."""

KEPT = 1 << 26
"""Bytes of all the streams together that stay decoded while a file is open, because several tensors share them."""

Holding = Literal["nothing", "tensors", "codes"]
"""What a call that reads every tensor has in memory at its end."""

_ALLOWED = tuple(Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes"))
"""Where Linux tells the limit of a container, in its second and its first form."""

_ADVICE = "if you trust the file, raise it: limit= in Python, --limit on the command line"


@final
@dataclass(frozen=True)
class Limits:
    """What a reader allows.

    Args:
        held: bytes that may be in memory at once.
        read: bytes that one call may decode, whatever becomes of them.
    """

    held: int
    read: int

    @classmethod
    def of(cls, file_bytes: int, limit: int | None) -> "Limits":
        """Return ``limit`` for both; unless told, 1 GiB or 1000 files, and in memory no more than the machine has."""
        if limit is not None:
            return cls(limit, limit)
        read = max(LEAST, RATIO * file_bytes)
        return cls(min(read, memory_bytes()), read)


def require_room(record: Record, streams: tuple[Stream, ...], limits: Limits) -> None:
    """Raise `FormatError` when a tensor takes more than ``limits`` allow, with what is nested in it and its streams."""
    _require("claims {:,} bytes decoded", _claim(record, streams), limits.held)
    _require_work("takes", multiply_adds(record), limits.read)


def require_sum(table: Table, kept: frozenset[int], limits: Limits, holding: Holding) -> None:
    """Raise `FormatError` when all tensors of a file together take more than ``limits`` allow.

    Args:
        table: what is known of the file.
        kept: the streams that are decoded once, though several tensors share them.
        limits: what is allowed.
        holding: what the call that reads them all has in memory at its end.
    """
    records, streams = table.tensors.values(), table.streams
    users = Counter(number for record in records for number in stream_numbers(record))
    often = {number: 1 if holding == "codes" or number in kept else count for number, count in users.items()}
    read = sum(map(_tensors, records)) + sum(count * _stream(streams[number]) for number, count in often.items())
    _require(f"its {len(records)} tensors claim {{:,}} bytes decoded, all together", read, limits.read)
    _require_work(f"its {len(records)} tensors together take", sum(map(multiply_adds, records)), limits.read)
    held = 0
    if holding == "tensors":
        most = max((_claim(record, streams) - _own(record) for record in records), default=0)
        held = most + sum(map(_own, records))
    if holding == "codes":
        most = max((working_bytes(record, streams) for record in records), default=0)
        held = most + sum(map(_stream, streams))
    _require(f"its {len(records)} tensors take {{:,}} bytes of memory, all together", held, limits.held)


def kept_streams(table: Table) -> frozenset[int]:
    """Return the streams that several tensors share, the smallest first, as long as they take `KEPT` bytes in all."""
    users = Counter(number for record in table.tensors.values() for number in stream_numbers(record))
    kept, room = set(), KEPT
    for size, number in sorted((_stream(table.streams[number]), number) for number, n in users.items() if n > 1):
        room -= size
        if room < 0:
            break
        kept.add(number)
    return frozenset(kept)


def _require(claim: str, claimed: int, limit: int) -> None:
    """Raise `FormatError` when ``claimed`` bytes, of which ``claim`` tells, are above ``limit``."""
    if claimed > limit:
        raise FormatError(f"{claim.format(claimed)}, above the limit of {limit:,}; {_ADVICE}")


def _require_work(claim: str, work: int, limit: int) -> None:
    """Raise `FormatError` when there are more than `WORK` multiply-adds a byte of ``limit``."""
    if work > WORK * limit:
        raise FormatError(
            f"{claim} {work:,} multiply-adds to decode, above {WORK} a byte of the limit of {limit:,}; {_ADVICE}"
        )


def _claim(record: Record, streams: tuple[Stream, ...]) -> int:
    """Return the most bytes that are in memory while a tensor is decoded, itself included."""
    own = sum(_stream(streams[number]) for number in stream_numbers(record))
    return _tensors(record) + own + working_bytes(record, streams)


def _own(record: Record) -> int:
    """Return the bytes of a record's tensor."""
    return math.prod(record.shape) * itemsize(record.dtype)


def _tensors(record: Record) -> int:
    """Return the bytes of a record's tensor and of those nested in it."""
    return _own(record) + sum(_tensors(part) for part in record.parts if isinstance(part, Record))


def _stream(stream: Stream) -> int:
    """Return the bytes of a stream once it is decoded."""
    return stream.count * (symbol_dtype(stream.alphabet).itemsize if stream.dtype is None else itemsize(stream.dtype))


def memory_bytes() -> int:
    """Return the memory of this machine, or what a container leaves of it, or 2⁴⁰ where the system does not say."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 40
    allowed = [int(text) for path in _ALLOWED if path.is_file() and (text := path.read_text().strip()).isdigit()]
    return min([machine, *allowed])
