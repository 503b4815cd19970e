"""What it takes to decode a tensor, from its record alone: multiply-adds, and memory beside what is decoded."""

import math

from laconic.format.codes import (
    CODES,
    CanonicalCode,
    CodebookCode,
    DrawnCode,
    GridCode,
    GroupedCode,
    HashedCode,
    LowRankCode,
    PackedCode,
    TileSparseCode,
    TuckerCode,
)
from laconic.format.codes.grid import FINER
from laconic.format.coding import itemsize
from laconic.format.container.table import Record, Stream

PLAIN, ROUNDING = 32, 64
"""Multiply-adds of the compiled kernel in the time of one that is left to NumPy, and of rounding to an 8-bit float."""

HASHED, DRAWN = 128, 1024
"""Multiply-adds in the time of hashing a position, and of drawing a number and putting it in its place."""

_COSINE, _TURNED = 1, 2  # numbers of transforms of a grid


def multiply_adds(record: Record) -> int:
    """Return the multiply-adds that a tensor and all that is nested in it take.

    Those left to NumPy count `PLAIN`, as does an element that is turned, and rounding a product to an 8-bit float
    counts `ROUNDING`. Where the parts of a code do not fit the number means nothing, and the code is refused before it
    multiplies.
    """
    nested = [part for part in record.parts if isinstance(part, Record)]
    return _multiply_adds(record, nested) + sum(map(multiply_adds, nested))


def _multiply_adds(record: Record, nested: list[Record]) -> int:
    """Return those of a tensor itself."""
    kind, shape, size = CODES[record.tag], record.shape, math.prod(record.shape)
    if kind is HashedCode:
        return HASHED * size
    if kind is DrawnCode:
        return DRAWN * size
    if kind is PackedCode:
        return PLAIN * size * 8 * itemsize(record.dtype) // max(record.facts[0], 1) if record.facts else 0
    if not size or len(shape) < 2:
        return 0
    if kind is GridCode:
        turned = 2 if _is_finer(record) else 1
        return PLAIN * size * {_COSINE: sum(shape[2:]), _TURNED: turned}.get(_transform(record), 0)
    rounding = ROUNDING * size if itemsize(record.dtype) == 1 else 0
    if kind is LowRankCode:
        return size * _columns(nested[0]) + rounding
    if kind is TuckerCode:
        core = nested[1].shape
        return math.prod(core) * shape[1] + (size * core[0] if core else 0) + rounding
    if kind is CanonicalCode:
        return _columns(nested[0]) * (size + PLAIN * (len(shape) - 1) * math.prod(shape[:-1])) + rounding
    return 0


def _transform(record: Record) -> int:
    """Return the number of a grid's transform."""
    return next(iter(record.facts), 0)


def _is_finer(record: Record) -> bool:
    """Whether rows of a grid have steps of their own beside those of columns: a step for each weight is made."""
    return len(record.facts) > 1 and bool(record.facts[1] & FINER)


def _columns(matrix: Record) -> int:
    """Return the last dimension of a factor."""
    return matrix.shape[-1] if matrix.shape else 0


def working_bytes(record: Record, streams: tuple[Stream, ...]) -> int:
    """Return the bytes that are in memory beside tensors and streams while a tensor is decoded; a few MiB are not told.

    Codes that go through float64, or through a mask of their own, some millions of weights at a time have none.
    """
    kind, size = CODES[record.tag], math.prod(record.shape)
    counts = [streams[part].count for part in record.parts if isinstance(part, int)]
    own = 0
    if kind is GridCode:  # levels as float64 or int64, in the order of classes and in their own; turned, line by line
        own = {_COSINE: 34, _TURNED: 33 if _is_finer(record) else 25}.get(_transform(record), 17) * size
    elif kind is TileSparseCode:
        own = 3 * size
    elif kind is CodebookCode:  # the codebook is rounded
        own = 8 * counts[0]
    elif kind is GroupedCode:  # codebook and scales as float64
        own = 8 * (counts[0] + counts[1])
    elif kind is HashedCode:  # the values are rounded
        own = itemsize(record.dtype) * sum(math.prod(part.shape) for part in record.parts if isinstance(part, Record))
    elif kind is DrawnCode:  # the order of the weights, their keys, and what sorting takes
        own = 24 * size
    elif kind is PackedCode:  # lines of words and two fields of each, and the integers in the order of the lines
        own = 4 * itemsize(record.dtype) * size + 2 * counts[0]
    elif kind is LowRankCode and record.facts != (0,):  # the matrix and the tensor
        own = size * itemsize(record.dtype)
    elif kind is TuckerCode:  # the core, some positions at a time
        own = sum(
            math.prod(part.shape) * itemsize(part.dtype) for part in record.parts[1:2] if isinstance(part, Record)
        )
    return own + sum(working_bytes(part, streams) for part in record.parts if isinstance(part, Record))
