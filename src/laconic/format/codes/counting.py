"""Sizes of codes other than the file's: the entropy, and bits as the publications count them."""

import math
from collections.abc import Mapping
from weakref import WeakSet

from laconic.format.codes.canonical import CanonicalCode
from laconic.format.codes.code import Code
from laconic.format.codes.codebook import CodebookCode
from laconic.format.codes.dense import DenseCode
from laconic.format.codes.drawn import DrawnCode
from laconic.format.codes.grid import GridCode
from laconic.format.codes.grouped import GroupedCode
from laconic.format.codes.hashed import HashedCode
from laconic.format.codes.low_rank import LowRankCode
from laconic.format.codes.packed import PackedCode
from laconic.format.codes.sparse import SparseCode
from laconic.format.codes.streams import Symbols, Values
from laconic.format.codes.sum import SumCode
from laconic.format.codes.tile_sparse import TileSparseCode
from laconic.format.codes.tucker import TuckerCode
from laconic.format.coding import entropy_bits, itemsize

Charged = WeakSet[Values | Symbols]
"""Codebooks, scales, steps and streams of shared values that have been counted, as long as they are in memory."""


def ideal_bits(code: Code) -> float:
    """Return the order-0 empirical entropy of its symbols plus the plain bits of its values, nested codes included.

    It charges no tables, lengths or names. Values are counted as stored: a file can be shorter, for it codes their
    exponents. Integers on a grid are charged by the tables of their classes, which are not charged themselves.
    """
    if isinstance(code, GridCode):
        symbols = code.own_scales.symbols
        return code.index_bits + entropy_bits(symbols.astype("uint8"), max(code.scales.alphabet, 1))
    if isinstance(code, DenseCode):  # its share of a stream that others may use too
        return 8.0 * itemsize(code.dtype) * code.size
    return math.fsum(_ideal_part(part) for part in code.streams().values())


def _ideal_part(part: Symbols | Values | Code) -> float:
    """Return the ideal bits of one part."""
    if isinstance(part, Symbols):
        return entropy_bits(part.array, part.alphabet)
    return 8.0 * part.array.nbytes if isinstance(part, Values) else ideal_bits(part)


def published_bits(codes: Mapping[str, Code]) -> dict[str, int]:
    """Return each tensor's size in bits as the literature counts it: no entropy coding, no file.

    Dense: b bits an element (b: width of the tensor's dtype). Codebook: ⌈log₂ K⌉ an element, and b for each entry,
    charged to the first tensor that uses it. Sparse: for each survivor its value as above and its coordinates,
    ⌈log₂ rows⌉ + ⌈log₂ columns⌉ in the matrix of dimension 0 × the rest. Tiles: the survivors as above, and
    ⌈log₂ tiles⌉ for each tile that is kept, or ⌈log₂ of the weights of a tile⌉ for each survivor. Low rank, Tucker,
    CP: the factors. Sum: its parts. Grid: ⌈log₂ of the levels from the smallest to the largest⌉ an element, and 32 bits
    for the step, charged once. Grouped: ⌈log₂ K⌉ an element, and b for each scale and each entry that belongs to a
    group, once; a codebook that is given is free. Hashed: the shared values, once. Drawn: ⌈log₂ K⌉ for each block, and
    32 bits for the scale, once. Packed: the bits of each integer.

    Of pruning the slides of these authors charge more: every number that is kept, biases too, has one width of index,
    that of the largest matrix (`laconic.experiments.recipes.lc_curves.ratios`): ρ is 12.19 there for 5 % of
    LeNet-300-100, and about 12.9 here, where smaller matrices have shorter coordinates and biases none.

    Source: Carreira-Perpiñán & Idelbayev, "Model compression as constrained optimization, with application to neural
    nets. Part II: quantization" (arXiv:1707.04319), whose compression ratios are test vectors.
    """
    charged: Charged = WeakSet()
    return {name: published(code, charged) for name, code in codes.items()}


def published(code: Code, charged: Charged) -> int:
    """Return the bits of ``code`` as `published_bits`; ``charged`` has what is paid for and shared, and grows."""
    width = 8 * itemsize(code.dtype)
    if isinstance(code, DenseCode):
        return width * code.size
    if isinstance(code, CodebookCode):
        entries = 0 if code.codebook in charged else len(code.codebook)
        charged.add(code.codebook)
        return code.size * _index_bits(len(code.codebook)) + width * entries
    if isinstance(code, GroupedCode):
        learned = [code.scales, code.codebook] if code.own else [code.scales]
        numbers = sum(len(part) for part in learned if part not in charged)
        charged.update(learned)
        return code.size * _index_bits(code.indices.alphabet) + width * numbers
    if isinstance(code, PackedCode):
        return code.words.bits * len(code.integers)
    if isinstance(code, SparseCode):
        return code.values.size * _coordinate_bits(code.shape) + published(code.values, charged)
    if isinstance(code, TileSparseCode):
        return _tile_bits(code) + published(code.values, charged)
    if isinstance(code, GridCode):
        (low, high), step = code.extremes, 0 if code.step in charged else 32
        charged.add(code.step)
        return code.size * _index_bits(high - low + 1) + step
    if isinstance(code, HashedCode):
        streams = _streams(code.values)
        values = 0 if all(stream in charged for stream in streams) else published(code.values, charged)
        charged.update(streams)
        return values
    if isinstance(code, DrawnCode):
        scale = 0 if code.scale in charged else 32
        charged.add(code.scale)
        return len(code.indices) * _index_bits(code.indices.alphabet) + scale
    if isinstance(code, SumCode):
        return sum(published(term, charged) for term in code.terms)
    assert isinstance(code, LowRankCode | TuckerCode | CanonicalCode), f"no published count of {type(code).__name__}"
    return sum(published(part, charged) for part in code.streams().values() if isinstance(part, Code))


def _streams(code: Code) -> list[Values | Symbols]:
    """Return all streams of a code and of those within it."""
    parts = [_streams(part) if isinstance(part, Code) else [part] for part in code.streams().values()]
    return [stream for streams in parts for stream in streams]


def _tile_bits(code: TileSparseCode) -> int:
    """Return the bits of the places of what is kept: of whole tiles, or of each survivor in its tile."""
    if code.mask.alphabet == 2:
        return int(code.mask.array.sum(dtype="int64")) * _index_bits(len(code.mask))
    return code.values.size * _index_bits(code.rows * code.columns)


def _index_bits(choices: int) -> int:
    """Return ⌈log₂ choices⌉, 0 for no choice."""
    return max(choices - 1, 0).bit_length()


def _coordinate_bits(shape: tuple[int, ...]) -> int:
    """Return the bits of the place of an element in a tensor of ``shape``, as row and column."""
    if len(shape) < 2:
        return _index_bits(math.prod(shape))
    return _index_bits(shape[0]) + _index_bits(math.prod(shape[1:]))
