"""What a file is made of, tensor by tensor: coded weights, what stands beside them, zeros, numbers that are left."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes import (
    CanonicalCode,
    Code,
    HashedCode,
    LowRankCode,
    SparseCode,
    SumCode,
    TileSparseCode,
    TuckerCode,
)
from laconic.format.coding import itemsize
from laconic.format.container import LacFile
from laconic.insight.ledger import Entry, Ledger

_NESTED = (HashedCode, SparseCode, TileSparseCode, LowRankCode, TuckerCode, CanonicalCode, SumCode)


@final
@dataclass(frozen=True)
class Piece:
    """A tensor of a file, under its first name.

    Args:
        entry: its line of the ledger.
        beside: of its bytes, codebooks, scales, steps and code lengths: all that is no coded weight.
        numbers: how many numbers its code stands for: survivors, factors, or all elements.
        zeros: elements that are 0 when decompressed.
        constant: whether all its elements are one value, and there are several.
    """

    entry: Entry
    beside: int
    numbers: int
    zeros: int
    constant: bool

    @property
    def size(self) -> int:
        """Number of its elements."""
        return int(np.prod(self.entry.shape, dtype=np.int64))

    @property
    def coded(self) -> int:
        """Of its bytes, the coded weights."""
        return self.entry.bytes - self.beside

    @property
    def bits(self) -> float:
        """8 · bytes / elements; 0 for an empty tensor."""
        return 8 * self.entry.bytes / self.size if self.size else 0.0

    @property
    def float_bytes(self) -> int:
        """Bytes of its numbers as a plain list."""
        return self.numbers * itemsize(self.entry.dtype)


@final
@dataclass(frozen=True)
class Class:
    """All tensors that are stored alike.

    Args:
        code: how, without its numbers, as "grid" or "sparse of codebook".
        tensors: how many there are.
        elements: of all of them.
        zeros: likewise.
        bytes: likewise.
    """

    code: str
    tensors: int
    elements: int
    zeros: int
    bytes: int


def anatomy(file: LacFile, account: Ledger, watch: Callable[[int], None] | None = None) -> tuple[Piece, ...]:
    """Return the tensors of a file, further names of tied ones left out, one in memory at a time.

    Args:
        file: open.
        account: its own.
        watch: told how many tensors have been read.

    Raises:
        FormatError: when a block is damaged, or a tensor takes more than the limit allows.
    """
    beside, found = file.beside(), list[Piece]()
    for entry in account.entries[:-1]:
        if not entry.tied:
            code = file.code(entry.name)
            values = code.decompress()
            zeros = int(values.size - np.count_nonzero(values))
            constant = values.size > 1 and bool((values == values.flat[0]).all())
            found.append(Piece(entry, beside[entry.name], numbers(code), zeros, constant))
        if watch is not None:
            watch(len(found))
    return tuple(found)


def numbers(code: Code) -> int:
    """Return how many numbers a code stands for: survivors, factors, shared values, or all elements.

    >>> from laconic.format.codes import DenseCode, LowRankCode
    >>> numbers(DenseCode.of(np.zeros((3, 4), np.float32)))
    12
    """
    if not isinstance(code, _NESTED):
        return code.size
    return sum(numbers(part) for part in code.streams().values() if isinstance(part, Code))


def classes(parts: Sequence[Piece]) -> tuple[Class, ...]:
    """Return the kinds of codes of a file, the largest first."""
    kinds: dict[str, list[Piece]] = {}
    for part in parts:
        kinds.setdefault(kind_of(part.entry.code), []).append(part)
    found = []
    for kind, own in kinds.items():
        size, zeros, taken = (sum(of) for of in zip(*((p.size, p.zeros, p.entry.bytes) for p in own), strict=True))
        found.append(Class(kind, len(own), size, zeros, taken))
    return tuple(sorted(found, key=lambda one: (-one.bytes, one.code)))


def kind_of(code: str) -> str:
    """Return what a tensor is stored as, without numbers.

    >>> kind_of("sparse 5.0% of codebook 16"), kind_of("low-rank 8 of (dense, dense)"), kind_of("codebook 4, 12 scales")
    ('sparse of codebook', 'low-rank of (dense, dense)', 'codebook, scales')
    """
    return re.sub(r" ?\d[\d.]*%?(?: x \d+)?", "", code)
