"""Techniques that make most weights zero."""

from typing import Any

from laconic.csteps.compression import Compression
from laconic.csteps.group_penalty import GroupPenalty
from laconic.csteps.groups import Groups
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.keep_n_of_m import KeepNOfM
from laconic.csteps.l0_penalty import L0Penalty
from laconic.csteps.l1_ball import L1Ball
from laconic.csteps.l1_penalty import L1Penalty
from laconic.csteps.lossless import Lossless
from laconic.csteps.priced_pruning import PricedPruning
from laconic.errors import PlanError
from laconic.plans.techniques.technique import Option, Technique
from laconic.theory.metric import Diagonal, Quartic, Unit

_VALUES = {"values": Option(Compression, "what becomes of those that stay")}
_GROUPS = {
    "score": Option(
        str,
        "what says how much a group matters: l2, the error; l1, the sum of sizes; or, of filters, neurons and "
        "channels, activity, how often it is not 0 on training data",
    ),
    **_VALUES,
}
_KIND = {
    "kind": Option(str, "of groups: filters, neurons, channels, heads, blocks, tensors"),
    "size": Option(list, "of heads, their number; of blocks, rows and columns"),
}
_SEPARABLE = (Unit, Diagonal, Quartic)


def _groups(options: dict[str, Any]) -> Groups:
    """Take the kind and the size of groups out of ``options``."""
    size = options.pop("size", [])
    if not all(isinstance(number, int) for number in size):
        raise PlanError(f"size is a list of integers, not {size}")
    return Groups(options.pop("kind", "filters"), tuple(size))


def _pair(numbers: list[float]) -> tuple[int, int]:
    """Return two integers."""
    if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
        raise PlanError(f"expected two integers, such as [2, 4], not {numbers}")
    return int(numbers[0]), int(numbers[1])


def _kept(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of what stays: all of it without a share."""
    return {"keep": options.pop("share", 1.0), **options}


def _beside(kept: KeepGroups) -> dict[str, Any]:
    """Return the options of what stays that are not the default."""
    plain = KeepGroups(kept.groups, keep=1.0)
    return {name: getattr(kept, name) for name in ("score", "values") if getattr(kept, name) != getattr(plain, name)}


def _said_groups(groups: Groups) -> dict[str, Any]:
    """Invert `_groups`."""
    return {"kind": groups.kind, **({"size": list(groups.size)} if groups.size else {})}


def _said_share(kept: KeepGroups, kind: str) -> dict[str, Any] | None:
    """Return the options of a share of the heads or blocks."""
    if kept.groups.kind != kind or kept.keep is None:
        return None
    size = kept.groups.size[0] if kind == "heads" else list(kept.groups.size)
    return {kind: size, **({"share": kept.keep} if kept.keep != 1 else {}), **_beside(kept)}


def _said_kept(kept: KeepGroups, key: str, field: str) -> dict[str, Any] | None:
    """Return the options of groups of any kind, kept by a number."""
    value = getattr(kept, field)
    return None if value is None else {key: value, **_said_groups(kept.groups), **_beside(kept)}


def _said_values(compression: KeepNOfM | GroupPenalty) -> dict[str, Any]:
    """Return what becomes of those that stay, where it is said."""
    return {"values": compression.values} if compression.values != Lossless() else {}


def _share_of(kind: str, line: str) -> Technique:
    """Return the technique that keeps a share of the groups of a kind without a size."""
    return Technique(
        key=kind,
        line=line,
        compression=KeepGroups,
        build=lambda options: KeepGroups(Groups(kind), keep=options.pop(kind), **options),
        options={kind: Option(float, "share that stays, 0 to 1"), **_GROUPS},
        example={kind: 0.5},
        metrics=_SEPARABLE,
        say=lambda c: None if c.groups != Groups(kind) or c.keep is None else {kind: c.keep, **_beside(c)},
    )


PRUNING = (
    Technique(
        key="keep",
        line="the weights that matter most stay, a share of them; the others are zero (ℓ0 constraint)",
        compression=KeepLargest,
        build=lambda options: KeepLargest(**options),
        options={"keep": Option(float, "share of the weights, 0 to 1"), **_VALUES},
        example={"keep": 0.05},
        metrics=_SEPARABLE,
    ),
    Technique(
        key="count",
        line="the weights that matter most stay, so many of them; the others are zero (ℓ0 constraint)",
        compression=KeepLargest,
        build=lambda options: KeepLargest(**options),
        options={"count": Option(int, "weights"), **_VALUES},
        example={"count": 100},
        metrics=_SEPARABLE,
    ),
    Technique(
        key="l0_price",
        line="each weight that stays has a price; those that matter less are zero (ℓ0 penalty)",
        compression=L0Penalty,
        build=lambda options: L0Penalty(price=options.pop("l0_price"), **options),
        options={"l0_price": Option(float, "of a weight, in units of the distortion"), **_VALUES},
        example={"l0_price": 1e-3},
        metrics=_SEPARABLE,
    ),
    Technique(
        key="l1_price",
        line="each weight has a price in proportion to its size; small ones are zero, others shrink (ℓ1 penalty)",
        compression=L1Penalty,
        build=lambda options: L1Penalty(price=options.pop("l1_price"), **options),
        options={"l1_price": Option(float, "of a weight of size 1, in units of the distortion"), **_VALUES},
        example={"l1_price": 1e-2},
    ),
    Technique(
        key="l1_radius",
        line="the sizes of the weights sum to so much at most; small ones are zero, others shrink (ℓ1 constraint)",
        compression=L1Ball,
        build=lambda options: L1Ball(radius=options.pop("l1_radius"), **options),
        options={"l1_radius": Option(float, "of the ball, in the units of the weights"), **_VALUES},
        example={"l1_radius": 100.0},
    ),
    Technique(
        key="l1_share",
        line="the sizes of the weights sum to a share at most of what they are given with (ℓ1 constraint)",
        compression=L1Ball,
        build=lambda options: L1Ball(share=options.pop("l1_share"), **options),
        options={"l1_share": Option(float, "of the sum of sizes"), **_VALUES},
        example={"l1_share": 0.5},
    ),
    Technique(
        key="prune_bit_price",
        line="each bit of positions and values has a price, which decides how many weights stay",
        compression=PricedPruning,
        build=lambda options: PricedPruning(price=options.pop("prune_bit_price"), **options),
        options={
            "prune_bit_price": Option(float, "of a bit, in units of the distortion"),
            "value_bits": Option(float, "bits of a value; the width of the dtype without"),
            **_VALUES,
        },
        example={"prune_bit_price": 1e-5},
        metrics=_SEPARABLE,
    ),
    Technique(
        key="n_of_m",
        line="of every m weights in a row at most n stay, as 2 of 4",
        compression=KeepNOfM,
        build=lambda options: KeepNOfM(*_pair(options.pop("n_of_m")), **options),
        options={"n_of_m": Option(list, "n and m, weights"), **_VALUES},
        example={"n_of_m": [2, 4]},
        metrics=_SEPARABLE,
        say=lambda c: {"n_of_m": [c.n, c.m], **_said_values(c)},
    ),
    _share_of("filters", "the filters (rows of dimension 0) that matter most stay, a share of them"),
    _share_of("channels", "the input channels (dimension 1) that matter most stay, a share of them"),
    Technique(
        key="heads",
        line="of so many runs of rows those that matter most stay, a share of them",
        compression=KeepGroups,
        build=lambda options: KeepGroups(Groups("heads", (options.pop("heads"),)), **_kept(options)),
        options={
            "heads": Option(int, "number of heads"),
            "share": Option(float, "share that stays, 0 to 1"),
            **_GROUPS,
        },
        example={"heads": 4, "share": 0.5},
        metrics=_SEPARABLE,
        say=lambda c: _said_share(c, "heads"),
    ),
    Technique(
        key="blocks",
        line="the blocks of a matrix that matter most stay, a share of them",
        compression=KeepGroups,
        build=lambda options: KeepGroups(Groups("blocks", _pair(options.pop("blocks"))), **_kept(options)),
        options={
            "blocks": Option(list, "rows and columns"),
            "share": Option(float, "share that stays, 0 to 1"),
            **_GROUPS,
        },
        example={"blocks": [4, 4], "share": 0.25},
        metrics=_SEPARABLE,
        say=lambda c: _said_share(c, "blocks"),
    ),
    Technique(
        key="group_count",
        line="the groups of weights that matter most stay, so many of them",
        compression=KeepGroups,
        build=lambda options: KeepGroups(_groups(options), count=options.pop("group_count"), **options),
        options={"group_count": Option(int, "groups"), **_KIND, **_GROUPS},
        example={"group_count": 16, "kind": "filters"},
        metrics=_SEPARABLE,
        say=lambda c: _said_kept(c, "group_count", "count"),
    ),
    Technique(
        key="group_budget",
        line="the groups that matter most for their size stay, as many as fit into a share of the weights",
        compression=KeepGroups,
        build=lambda options: KeepGroups(_groups(options), budget=options.pop("group_budget"), **options),
        options={"group_budget": Option(float, "share of the weights, 0 to 1"), **_KIND, **_GROUPS},
        example={"group_budget": 0.3, "kind": "filters"},
        exact=False,
        metrics=_SEPARABLE,
        say=lambda c: _said_kept(c, "group_budget", "budget"),
    ),
    Technique(
        key="group_price",
        line="each group has a price in proportion to its norm; small ones are zero, others shrink (group lasso)",
        compression=GroupPenalty,
        build=lambda options: GroupPenalty(_groups(options), price=options.pop("group_price"), **options),
        options={"group_price": Option(float, "of a group of norm 1, in units of the distortion"), **_KIND, **_VALUES},
        example={"group_price": 1e-2, "kind": "filters"},
        say=lambda c: {"group_price": c.price, **_said_groups(c.groups), **_said_values(c)},
    ),
)
