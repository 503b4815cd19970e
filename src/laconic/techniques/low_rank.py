"""Techniques that factor a tensor into smaller ones."""

from laconic.csteps import Compression, LowRank
from laconic.metric import Unit
from laconic.techniques.technique import Option, Technique

LOW_RANK = (
    Technique(
        key="rank",
        line="a matrix is the product of two of a given rank (truncated SVD)",
        compression=LowRank,
        build=lambda options: LowRank(**options),
        options={
            "rank": Option(int, "of the product"),
            "view": Option(str, "how a tensor is a matrix: out|in.kh.kw or out.kh|in.kw"),
            "left": Option(Compression, "what becomes of the first factor"),
            "right": Option(Compression, "what becomes of the second factor"),
            "tolerance": Option(float, "share of the least error that a fast solution may lose; 0: none"),
        },
        example={"rank": 8},
        metrics=(Unit,),
    ),
)
