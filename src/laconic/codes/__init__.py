"""Compressed weights as frozen values: `decompress` them, or take them apart into `streams` and back."""

from laconic.codes.canonical import CanonicalCode
from laconic.codes.code import Code, Part
from laconic.codes.codebook import CodebookCode
from laconic.codes.dense import DenseCode
from laconic.codes.grid import GridCode
from laconic.codes.grouped import GroupedCode
from laconic.codes.low_rank import VIEWS, LowRankCode
from laconic.codes.sharing import shared
from laconic.codes.sparse import SparseCode
from laconic.codes.streams import DTYPES, Symbols, Values
from laconic.codes.sum import SumCode
from laconic.codes.tile_sparse import TileSparseCode
from laconic.codes.tucker import TuckerCode

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
    "GridCode",
    "GroupedCode",
    "LowRankCode",
    "Part",
    "SparseCode",
    "SumCode",
    "Symbols",
    "TileSparseCode",
    "TuckerCode",
    "Values",
    "shared",
]
