"""The table of a `.lac` file as frozen values, and its bytes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

from laconic.errors import FormatError
from laconic.format.codes import DTYPES
from laconic.format.coding import varint

BLOCK = 1 << 20
"""Symbols or values in each block of a stream but the last."""

MAX_AXES, MAX_FACTS, MAX_DEPTH, MAX_ELEMENTS, MAX_ALPHABET = 32, 8, 8, 1 << 36, 1 << 32

MAX_NAME = 1 << 12
"""Bytes of a tensor's name: names are stored as differences, and a small table must not claim many long ones."""


@final
@dataclass(frozen=True)
class Block:
    """Some coded bytes.

    Args:
        offset: where they begin in the file.
        length: how many they are.
        crc: their CRC-32; None in a small file, which has one for all of it.
    """

    offset: int
    length: int
    crc: int | None


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

    @cached_property
    def ties(self) -> Mapping[str, str]:
        """The further names of tensors that have several, with the first of each: their records are equal."""
        firsts: dict[Record, str] = {}
        named = {name: firsts.setdefault(record, name) for name, record in self.tensors.items()}
        return {name: first for name, first in named.items() if name != first}

    def pack(self) -> bytes:
        """Return the table's bytes."""
        return b"".join([pack_metadata(self.metadata), _pack_streams(self.streams), _pack_tensors(self.tensors)])


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise `FormatError` for a shape that no file can hold."""
    if len(shape) > MAX_AXES or math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise FormatError(f"shape {shape}: more than {MAX_AXES} axes or 2^36 elements")


def _pack_string(text: str) -> bytes:
    """Return ``text`` with its length before it."""
    data = text.encode()
    return varint(len(data)) + data


def pack_metadata(metadata: Mapping[str, str]) -> bytes:
    """Return the pairs in the order of their keys."""
    pairs = [_pack_string(key) + _pack_string(metadata[key]) for key in sorted(metadata)]
    return varint(len(pairs)) + b"".join(pairs)


def _pack_streams(streams: tuple[Stream, ...]) -> bytes:
    """Return the list of streams."""
    out = [varint(len(streams))]
    for stream in streams:
        kind = (0, stream.alphabet) if stream.dtype is None else (1, DTYPES.index(stream.dtype))
        out += [varint(kind[0]), varint(kind[1]), varint(stream.count)]
        for block in stream.blocks:
            assert block.crc is not None, "a block of a file that is not small has one"
            out.append(varint(block.length) + block.crc.to_bytes(4, "little"))
    return b"".join(out)


def _pack_tensors(tensors: Mapping[str, Record]) -> bytes:
    """Return the list of tensors."""
    out, before = [varint(len(tensors))], b""
    for name, record in tensors.items():
        out += [pack_name(name.encode(), before), _pack_record(record)]
        before = name.encode()
    return b"".join(out)


def pack_name(name: bytes, before: bytes) -> bytes:
    """Return ``name`` as the bytes that its head and its tail share with ``before``, and what is between them."""
    head, tail = shared_ends(name, before)
    middle = name[head : len(name) - tail]
    return varint(head) + varint(tail) + varint(len(middle)) + middle


def shared_ends(name: bytes, before: bytes) -> tuple[int, int]:
    """Return how many bytes the heads of both share, and how many the tails of what is left.

    >>> shared_ends(b"block.3.weight", b"block.2.weight")
    (6, 7)
    """
    head = _common(name, before)
    return head, _common(name[head:][::-1], before[head:][::-1])


def _common(a: bytes, b: bytes) -> int:
    """Return the length of the longest common head."""
    least = min(len(a), len(b))
    differ = int.from_bytes(a[:least], "little") ^ int.from_bytes(b[:least], "little")
    return ((differ & -differ).bit_length() - 1) // 8 if differ else least


def _pack_record(record: Record) -> bytes:
    """Return a record and all that is nested in it."""
    numbers = [record.tag, DTYPES.index(record.dtype), len(record.shape), *record.shape]
    numbers += [len(record.facts), *record.facts]
    parts = [varint(0) + _pack_record(p) if isinstance(p, Record) else varint(1 + p) for p in record.parts]
    return b"".join([*map(varint, numbers), *parts])
