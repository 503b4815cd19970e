"""Techniques that factor a tensor into smaller ones."""

from typing import Any

from laconic.csteps.canonical import Canonical
from laconic.csteps.compression import Compression
from laconic.csteps.learned_rank import LearnedRank
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.nuclear_norm import NuclearNorm
from laconic.csteps.tucker import Tucker
from laconic.format.codes import VIEWS
from laconic.plans.techniques.costs import COST_OPTIONS, said_cost, take_cost
from laconic.plans.techniques.technique import Option, Technique
from laconic.theory.metric import Diagonal, Kronecker, Unit

_VIEW = Option(str, "how a tensor is a matrix: out|in.kh.kw, out.kh|in.kw or out.kw|in.kh")

_SIDES = {
    "left": Option(Compression, "what becomes of the first factor"),
    "right": Option(Compression, "what becomes of the second factor"),
}
_FACTORS = Option(Compression, "what becomes of the factors")


def _learned_rank(options: dict[str, Any]) -> Compression:
    """Return the compression of a row."""
    cost = take_cost(options, "parameters")
    return LearnedRank(options.pop("learned_rank"), cost, **options)


def _said_learned_rank(compression: LearnedRank) -> dict[str, Any] | None:
    """Invert `_learned_rank`."""
    cost = said_cost(compression.cost, "parameters")
    view = {} if compression.view == VIEWS[0] else {"view": compression.view}
    inner = {key: getattr(compression, key) for key in ("left", "right", "full")}
    said = {key: compression for key, compression in inner.items() if compression != Lossless()}
    return None if cost is None else {"learned_rank": compression.price, **cost, **view, **said}


def _components(options: dict[str, Any]) -> Compression:
    """Return the compression of a row."""
    view = "out.kh|in.kw" if options.pop("row_first", False) else "out.kw|in.kh"
    return LowRank(options.pop("two_components"), view, **options)


def _said_components(compression: LowRank) -> dict[str, Any] | None:
    """Return the options of a kernel as two convolutions."""
    if compression.view not in VIEWS[1:]:
        return None
    options: dict[str, Any] = {"two_components": compression.rank}
    options |= {"row_first": True} if compression.view == VIEWS[1] else {}
    sides = {"left": compression.left, "right": compression.right}
    return options | {key: inner for key, inner in sides.items() if inner != Lossless()}


LOW_RANK = (
    Technique(
        key="rank",
        line="a matrix is the product of two of a given rank (truncated SVD)",
        compression=LowRank,
        build=lambda options: LowRank(**options),
        options={
            "rank": Option(int, "of the product"),
            "view": _VIEW,
            **_SIDES,
            "tolerance": Option(float, "share of the least error that a fast solution may lose; 0: none"),
        },
        example={"rank": 8},
        metrics=(Unit, Diagonal, Kronecker),
        approximate=(Diagonal,),
    ),
    Technique(
        key="two_components",
        line="a kernel is a column of convolutions and then a row, with a given number of channels between",
        compression=LowRank,
        build=_components,
        options={
            "two_components": Option(int, "channels between the two"),
            "row_first": Option(bool, "1 × kw and then kh × 1, rather than kh × 1 and then 1 × kw"),
            **_SIDES,
        },
        example={"two_components": 8},
        metrics=(Unit, Diagonal),
        approximate=(Diagonal,),
        say=_said_components,
    ),
    Technique(
        key="learned_rank",
        line="a matrix has the rank that is worth its cost, or stays dense: error and cost are in one objective",
        compression=LearnedRank,
        build=_learned_rank,
        options={
            "learned_rank": Option(float, "price of a unit of the cost, in squared error (in LC, in the loss)"),
            **COST_OPTIONS,
            "view": _VIEW,
            **_SIDES,
            "full": Option(Compression, "what becomes of a tensor that stays as it is"),
        },
        example={"learned_rank": 1e-6},
        say=_said_learned_rank,
        metrics=(Unit, Diagonal, Kronecker),
        approximate=(Diagonal,),
    ),
    Technique(
        key="nuclear_price",
        line="singular values shrink by half a price, and the small ones vanish (nuclear norm)",
        compression=NuclearNorm,
        build=lambda options: NuclearNorm(options.pop("nuclear_price"), **options),
        options={
            "nuclear_price": Option(
                float, "price of a unit of the nuclear norm, in squared error (in LC, in the loss)"
            ),
            "view": _VIEW,
            **_SIDES,
        },
        example={"nuclear_price": 0.1},
        metrics=(Unit,),
    ),
    Technique(
        key="tucker",
        line="a kernel is a 1 × 1 convolution, a small kernel and a 1 × 1 convolution (Tucker-2)",
        compression=Tucker,
        build=lambda options: Tucker(
            options["tucker"], options.get("inputs", options["tucker"]), options.get("factors", Lossless())
        ),
        options={
            "tucker": Option(int, "channels of the core on the side of the output, and of the input too"),
            "inputs": Option(int, "channels on the side of the input, where they differ"),
            "factors": _FACTORS,
        },
        example={"tucker": 8},
        exact=False,
        metrics=(Unit,),
    ),
    Technique(
        key="cp",
        line="a tensor is a sum of outer products of vectors (CP, canonical polyadic)",
        compression=Canonical,
        build=lambda options: Canonical(options.pop("cp"), **options),
        options={"cp": Option(int, "outer products"), "factors": _FACTORS},
        example={"cp": 8},
        exact=False,
        metrics=(Unit,),
    ),
)
