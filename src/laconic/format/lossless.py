"""The smallest lossless code of a tensor: one value is told once, a mask by its tiles, all else by its numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from laconic.format.codes import Code, CodebookCode, DenseCode, PackedCode, Symbols, TileSparseCode, Values, shared
from laconic.format.codes.sharing import SMALL
from laconic.format.codes.tile_sparse import flattened, spread
from laconic.format.codes.words import Words
from laconic.format.coding import FLOATS
from laconic.format.coding.dtypes import HALVES
from laconic.format.container import bits

_LEAST = 64
"""Bytes up to which numbers are told as they are: no other code is shorter by more than a byte or two."""

_SIDES = (8, 16, 32, 64)
"""Of square tiles that are tried; few are cut by the border of a mask, and there the runs tell."""

_RUN = 8
"""Places of a mask that one symbol tells."""

_PART = 1 << 20  # elements that are looked at together


def lossless(array: np.ndarray) -> Code:
    """Return the smallest code of ``array``, bit by bit, of any shape and any dtype that a file holds.

    A tensor of one value takes no memory. One of zeros and one other value, a mask, is told by the tiles that are not
    all zeros, and in these by runs of eight places: a triangle takes a few hundredths of a bit for each place.

    >>> code = lossless(np.triu(np.full((512, 512), -np.inf, np.float32), 1))
    >>> bits({"mask": code}) // 8 < 512 * 512 * 4 / 500
    True
    """
    if array.nbytes <= _LEAST or array.dtype.name in HALVES:  # a mask has words of 8 bytes at most
        return DenseCode.of(array)
    words = np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}")
    others = _others(words)
    if others is None:
        return DenseCode.of(array)
    if len(others) == 0 or words.all():
        repeated = np.broadcast_to(array.reshape(-1)[:1].copy(), (array.size,))
        return DenseCode(array.shape, array.dtype.name, Values(repeated))
    value = others.view(array.dtype)
    return min([DenseCode.of(array), *_tiled(array.shape, words != 0, value)], key=lambda code: bits({"": code}))


def unpacked(array: np.ndarray, layouts: Sequence[Words]) -> Code:
    """Return the smallest code of words in which integers may be packed, in one of some layouts: bit by bit as well.

    Words of a few thousand may be shorter as they are; of more it is the integers that have a distribution.

    >>> type(unpacked(np.arange(1 << 14, dtype=np.int32).reshape(128, 128), [Words(4, 1, 0)])).__name__
    'PackedCode'
    """
    found = [code for words in layouts if (code := PackedCode.of(array, words)) is not None]
    candidates = [lossless(array), *found] if array.size <= SMALL or not found else found
    return min(candidates, key=lambda code: bits({"": code})) if len(candidates) > 1 else candidates[0]


def together(codes: Mapping[str, Code]) -> dict[str, Code]:
    """Return ``codes`` with the small dense ones in one stream, but for those of one value.

    Where several have the same one they are parts of one stream that repeats it, as the norms of a network have in
    which batch normalization is folded; a larger one tells it by itself.
    """
    codes = {**codes, **_constants(codes)}
    users = Counter(id(code.values) for code in codes.values() if isinstance(code, DenseCode))
    varied = {
        name: code
        for name, code in codes.items()
        if not (_is_of_one_value(code) or (isinstance(code, DenseCode) and users[id(code.values)] > 1))
    }
    return {**codes, **shared(varied)}


def _constants(codes: Mapping[str, Code]) -> dict[str, Code]:
    """Return the small dense codes of one value that others have, too, with one stream for each value."""
    alike: dict[tuple[str, bytes], dict[str, DenseCode]] = {}
    for name, code in codes.items():
        if isinstance(code, DenseCode) and 1 < code.size <= SMALL and len(code.values) == code.size:
            numbers = code.values.array
            if numbers.strides == (0,) or numbers.tobytes() == numbers[:1].tobytes() * code.size:
                alike.setdefault((code.dtype, numbers[:1].tobytes()), {})[name] = code
    shared_codes = dict[str, Code]()
    for group in alike.values():
        if len({id(code.values) for code in group.values()}) > 1:
            longest = max(group.values(), key=lambda code: code.size)
            values = Values(np.broadcast_to(longest.values.array[:1].copy(), (longest.size,)))
            shared_codes |= {name: replace(code, values=values) for name, code in group.items()}
    return shared_codes


def is_mask(array: np.ndarray) -> bool:
    """Say whether numbers are 0 and −inf alone, and some of them −inf.

    >>> is_mask(np.float32([0, -np.inf])), is_mask(np.float32([0, 0])), is_mask(np.float32([1, -np.inf]))
    (True, False, False)
    """
    if array.dtype.name not in FLOATS:
        return False
    with np.errstate(invalid="ignore"):  # a comparison with a signalling NaN warns
        holes = array == -np.inf
        return bool(holes.any()) and bool((holes | (array == 0)).all())


def is_mask_code(code: Code) -> bool:
    """Say whether `is_mask` is true of what a code holds: nothing is decompressed."""
    numbers = list(_numbers(code))
    return bool(numbers) and is_mask(np.concatenate(numbers))


def _numbers(code: Code) -> Iterator[np.ndarray]:
    """Give the numbers of its dtype that a code holds, nested codes included."""
    if isinstance(code, DenseCode):
        yield code.values.array[code.start : code.start + code.size]
        return
    for part in code.streams().values():
        if isinstance(part, Code):
            yield from _numbers(part)
        elif isinstance(part, Values) and part.array.dtype.name == code.dtype:
            yield part.array


def _is_of_one_value(code: Code) -> bool:
    """Say whether a code is that of more than `_LEAST` bytes of one value."""
    return isinstance(code, DenseCode) and code.values.array.strides == (0,) and len(code.values) > 1


def _others(words: np.ndarray) -> np.ndarray | None:
    """Return the one word that occurs beside 0, shape (1,), or (0,) where none does; None where there are several."""
    others = words[:0]
    for start in range(0, len(words), _PART):
        part = words[start : start + _PART]
        present = part[part != 0]
        others = others if len(others) else present[:1].copy()
        if (present != others[:1]).any():
            return None
    return others


def _tiled(shape: tuple[int, ...], kept: np.ndarray, value: np.ndarray) -> Iterator[Code]:
    """Give codes of a tensor that is ``value``, shape (1,), where ``kept``, bool of shape (size,), says, and else 0."""
    columns = shape[-1] if shape else 1
    rows = len(kept) // columns
    matrix, dtype = kept.reshape(rows, columns), value.dtype.name
    for side in _SIDES:
        high, wide = min(side, rows), min(side, columns)
        tiles = np.logical_or.reduceat(matrix, range(0, rows, high), axis=0)
        tiles = np.logical_or.reduceat(tiles, range(0, columns, wide), axis=1)
        inside = matrix[spread(tiles, high, wide, matrix.shape)]
        runs = Symbols(np.packbits(inside, bitorder="little"), 1 << _RUN)
        many = int(np.count_nonzero(inside))
        values = CodebookCode((many,), dtype, Values(value.copy()), Symbols(np.zeros(many, np.uint8), 1))
        inner = TileSparseCode((len(inside),), dtype, min(_RUN, len(inside)), 1, runs, values)
        code = TileSparseCode(matrix.shape, dtype, high, wide, Symbols(tiles.reshape(-1).astype(np.uint8), 2), inner)
        if shape == matrix.shape:
            yield code
        else:  # one tile, all of it kept, whose values have a shape of their own
            yield TileSparseCode(shape, dtype, *flattened(shape), Symbols(np.ones(1, np.uint8), 2), code)
