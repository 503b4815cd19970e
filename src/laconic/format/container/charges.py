"""Where the bytes of a file are: a charge for each tensor; they sum to the file exactly."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.format.codes import CODES
from laconic.format.codes.describe import describe
from laconic.format.container.records import outline_of, stream_numbers
from laconic.format.container.table import Record, Table

HEADER = "(header)"
"""Name of the charge of header and table."""

BESIDE = ("codebook", "model", "scale", "scales", "step")
"""Parts of codes that are no weights: what they are multiplied by or looked up in, and code lengths."""


@final
@dataclass(frozen=True)
class Charge:
    """The share of a tensor in a file.

    Args:
        name: the tensor's name.
        shape: its shape.
        dtype: its element type; empty for the header.
        code: what it is stored as, in a few words.
        bytes: bytes of its blocks; what it shares is split in proportion to the elements of those who share.
        tied: where this is a further name of a tensor, the first one, which is charged for it; else empty.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    code: str
    bytes: int
    tied: str = ""


def charges(table: Table, file_bytes: int) -> list[Charge]:
    """Return a charge for each tensor, in the order of the file, and one for header and table.

    Law: their bytes sum to ``file_bytes``.
    """
    shares = _shares(table)
    own = [_charge(name, record, table, shares.get(name, 0)) for name, record in table.tensors.items()]
    rest = file_bytes - sum(charge.bytes for charge in own)
    return [*own, Charge(HEADER, (), "", "header, names, lengths and checksums", rest)]


def parts(table: Table, names: Iterable[str]) -> Mapping[str, int]:
    """Return the bytes of the blocks of some tensors by the names of the parts that they are; what is shared once."""
    found = dict[int, str]()
    for record in map(table.tensors.__getitem__, names):
        own = zip(CODES[record.tag].parts(record.facts), record.parts, strict=True)
        found |= {part: name for name, part in own if isinstance(part, int)}
    sizes = Counter[str]()
    for number, name in found.items():
        sizes[name] += table.streams[number].length
    return sizes


def beside(table: Table) -> Mapping[str, int]:
    """Return what each tensor's charge has of parts that are no weights (`BESIDE`), by its first name."""
    return _shares(table, BESIDE)


def _charge(name: str, record: Record, table: Table, share: int) -> Charge:
    """Return the charge of a tensor that has ``share`` bytes of blocks; further names have none."""
    tied = table.ties.get(name, "")
    code = f"the same as {tied}" if tied else describe(outline_of(record, table.streams))
    return Charge(name, record.shape, record.dtype, code, share, tied)


def _shares(table: Table, only: Collection[str] = ()) -> Mapping[str, int]:
    """Return the bytes of blocks that each tensor has or shares in, by its first name; of some parts ``only``."""
    users: list[list[str]] = [[] for _ in table.streams]
    shares = {name: 0 for name in table.tensors if name not in table.ties}
    for name in shares:
        for number in stream_numbers(table.tensors[name], only):
            users[number].append(name)
    for stream, names in zip(table.streams, users, strict=True):
        sizes = [math.prod(table.tensors[name].shape) for name in names]
        for name, share in zip(names, apportion(stream.length, sizes), strict=True):
            shares[name] += share
    return shares


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Return integers in proportion to ``weights`` that sum to ``total``: largest remainders, the first of equals.

    >>> apportion(10, [1, 1, 1])
    [4, 3, 3]
    """
    fair = list(weights) if sum(weights) else [1] * len(weights)
    whole = sum(fair)
    shares = [total * weight // whole for weight in fair]
    order = sorted(range(len(fair)), key=lambda i: -(total * fair[i] % whole))
    for i in order[: total - sum(shares)]:
        shares[i] += 1
    return shares
