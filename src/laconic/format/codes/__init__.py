"""Compressed weights as frozen values: `decompress` them, or take them apart into `streams` and back."""

from laconic.format.codes.canonical import CanonicalCode
from laconic.format.codes.code import Code, Part
from laconic.format.codes.codebook import CodebookCode
from laconic.format.codes.dense import DenseCode
from laconic.format.codes.drawn import DrawnCode
from laconic.format.codes.grid import GridCode
from laconic.format.codes.grouped import GroupedCode
from laconic.format.codes.hashed import HashedCode
from laconic.format.codes.low_rank import VIEWS, LowRankCode
from laconic.format.codes.packed import PackedCode
from laconic.format.codes.sharing import shared
from laconic.format.codes.sparse import SparseCode
from laconic.format.codes.streams import DTYPES, Symbols, Values
from laconic.format.codes.sum import SumCode
from laconic.format.codes.tile_sparse import TileSparseCode
from laconic.format.codes.tucker import TuckerCode

CODES: dict[int, type[Code]] = {
    0: DenseCode,
    1: CodebookCode,
    2: SparseCode,
    3: LowRankCode,
    4: GridCode,
    5: GroupedCode,
    6: SumCode,
    7: TileSparseCode,
    8: TuckerCode,
    9: CanonicalCode,
    10: HashedCode,
    11: DrawnCode,
    12: PackedCode,
}
"""Every code, by its tag in the file (`docs/format.md`)."""

__all__ = [
    "CODES",
    "DTYPES",
    "VIEWS",
    "CanonicalCode",
    "Code",
    "CodebookCode",
    "DenseCode",
    "DrawnCode",
    "GridCode",
    "GroupedCode",
    "HashedCode",
    "LowRankCode",
    "PackedCode",
    "Part",
    "SparseCode",
    "SumCode",
    "Symbols",
    "TileSparseCode",
    "TuckerCode",
    "Values",
    "shared",
]
