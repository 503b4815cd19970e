"""Where the bytes of a file are: a charge for each tensor; they sum to the file exactly."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.format.codes.describe import describe
from laconic.format.container.records import outline_of, stream_numbers
from laconic.format.container.table import Table

HEADER = "(header)"
"""Name of the charge of header and table."""


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
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    code: str
    bytes: int


def charges(table: Table, file_bytes: int) -> list[Charge]:
    """Return a charge for each tensor, in the order of the file, and one for header and table.

    Law: their bytes sum to ``file_bytes``.
    """
    shares = _shares(table)
    own = [
        Charge(name, record.shape, record.dtype, describe(outline_of(record, table.streams)), shares[name])
        for name, record in table.tensors.items()
    ]
    rest = file_bytes - sum(charge.bytes for charge in own)
    return [*own, Charge(HEADER, (), "", "header, names, lengths and checksums", rest)]


def _shares(table: Table) -> Mapping[str, int]:
    """Return the bytes of blocks that each tensor has or shares in."""
    users: list[list[str]] = [[] for _ in table.streams]
    for name, record in table.tensors.items():
        for number in stream_numbers(record):
            users[number].append(name)
    shares = dict.fromkeys(table.tensors, 0)
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
