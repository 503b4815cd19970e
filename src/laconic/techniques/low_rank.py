"""Techniques that factor a tensor into smaller ones."""

from laconic.csteps import Compression, LowRank
from laconic.metric import Diagonal, Kronecker, Unit
from laconic.techniques.technique import Option, Technique

LOW_RANK = (
    Technique(
        key="rank",
        line="a matrix is the product of two of a given rank (truncated SVD)",
        compression=LowRank,
        build=lambda options: LowRank(**options),
        options={
            "rank": Option(int, "of the product"),
            "view": Option(str, "how a tensor is a matrix: out|in.kh.kw, out.kh|in.kw or out.kw|in.kh"),
            "left": Option(Compression, "what becomes of the first factor"),
            "right": Option(Compression, "what becomes of the second factor"),
            "tolerance": Option(float, "share of the least error that a fast solution may lose; 0: none"),
        },
        example={"rank": 8},
        metrics=(Unit, Diagonal, Kronecker),
    ),
    Technique(
        key="two_components",
        line="a kernel is a column of convolutions and then a row, with a given number of channels between",
        compression=LowRank,
        build=lambda options: LowRank(
            options["two_components"], "out.kh|in.kw" if options.get("row_first", False) else "out.kw|in.kh"
        ),
        options={
            "two_components": Option(int, "channels between the two"),
            "row_first": Option(bool, "1 × kw and then kh × 1, rather than kh × 1 and then 1 × kw"),
        },
        example={"two_components": 8},
        metrics=(Unit, Diagonal),
    ),
)
