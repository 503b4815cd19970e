"""Of codes that stand for the same weights, those that make the smallest file.

Pruned weights that share K values can tell positions apart from values (a mask, and an index for each survivor), or
take zero as one more value: the same entropy, but other tables. The file says which; here both are measured.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from laconic.format.codes import Code, CodebookCode, DenseCode, SparseCode, Symbols, Values
from laconic.format.container import bits
from laconic.format.lossless import lossless, together

_TABLE = 64
"""Bits by which a file may grow for another way to tell a code: its table is deflated, and records differ."""


def compact(codes: Mapping[str, Code]) -> dict[str, Code]:
    """Return codes of the same weights, bit by bit, in a file that is no larger.

    Dense tensors of one value and masks take what they are worth (`laconic.format.lossless`), and small ones share one
    stream (`laconic.format.codes.shared`). Sparse codes of codebooks become codebooks with an entry 0 where that is
    smaller, all together that share a codebook.

    >>> mask = np.arange(400) % 8 > 0
    >>> values = CodebookCode((350,), "float32", Values(np.float32([3, 5, 7])), Symbols(np.arange(350) % 3, 3))
    >>> codes = {"w": SparseCode((400,), "float32", Symbols(mask, 2), values)}
    >>> type(compact(codes)["w"]).__name__, compact(codes)["w"].decompress()[:5]
    ('CodebookCode', array([0., 3., 5., 7., 3.], dtype=float32))
    """
    smaller = dict(codes)
    for names in _groups(codes):
        apart = {name: codes[name] for name in names}
        zeros = _with_zero(apart)
        if bits(zeros) + _TABLE < bits(apart):
            smaller |= zeros
    users = Counter(id(code.values) for code in codes.values() if isinstance(code, DenseCode))
    for name, code in codes.items():
        if isinstance(code, DenseCode) and users[id(code.values)] == 1:  # what is tied stays so
            smaller[name] = lossless(code.decompress())
    return together(smaller)


def _groups(codes: Mapping[str, Code]) -> list[list[str]]:
    """Return the names of sparse codes of codebooks, those with one codebook together."""
    groups: dict[int, list[str]] = {}
    for name, code in codes.items():
        if isinstance(code, SparseCode) and isinstance(code.values, CodebookCode):
            groups.setdefault(id(code.values.codebook), []).append(name)
    return list(groups.values())


def _with_zero(codes: Mapping[str, Code]) -> dict[str, Code]:
    """Return codebooks with an entry 0 before the others, one object for all, for sparse codes of one codebook."""
    books: dict[str, Code] = {}
    book: Values | None = None
    for name, code in codes.items():
        assert isinstance(code, SparseCode), "codes of a group are sparse"
        assert isinstance(code.values, CodebookCode), "and have codebooks"
        entries = code.values.codebook.array
        book = book or Values(np.concatenate([np.zeros(1, entries.dtype), entries]))
        indices = code.mask.array.astype(np.int64)
        indices[indices == 1] = 1 + code.values.indices.array.astype(np.int64)
        books[name] = CodebookCode(code.shape, code.dtype, book, Symbols(indices, len(book)))
    return books
