"""Factors."""

from laconic import (
    AdaptiveCodebook,
    Canonical,
    Compression,
    Joint,
    KeepLargest,
    LearnedRank,
    LowRank,
    NuclearNorm,
    Tucker,
)
from laconic.csteps.costs import Bits, Cost, Flops, Parameters
from laconic.csteps.nuclear_norm import nuclear_norm
from laconic.theory.metric import Kronecker

from .case import FACTORED, MATRICES, ROUNDED, TENSORS, Case, alone, importance, normal

ALTERNATED = {"exact": False, "idempotent": "no"}  # what has no weight moves with the roundings of what has


def weighted(label: str, compression: Compression, name: str) -> Case:
    metrics = {name: importance(MATRICES[name])}
    return Case(f"{label}-weighted", compression, {name: MATRICES[name]}, metrics, **ALTERNATED)


def kronecker(label: str, compression: Compression, name: str) -> Case:
    """Under a metric of full rank, of condition near a hundred."""
    tensor = MATRICES[name]
    rows, columns = (normal(2 * size + 2, size, seed=size) for size in (tensor.shape[0], tensor[:1].numel() or 4))
    metrics = {name: Kronecker(rows.T @ rows / len(rows), columns.T @ columns / len(columns))}
    return Case(f"{label}-kronecker", compression, {name: tensor}, metrics, idempotent="rounding")


def costing(price: float, cost: Cost) -> dict[str, object]:
    """What a case with a price says: the objective is not the distortion alone, and choices depend on the weights."""
    penalty = lambda codes: price * sum(cost(name, code) for name, code in codes.items())  # noqa: E731
    return {"idempotent": "no", "penalty": penalty, "one_kind": False}


HEAVY = costing(0.3, Parameters()) | {"exact": False}
SHRUNK = {
    "idempotent": "no",
    "penalty": lambda codes: 0.7 * sum(nuclear_norm(code) for code in codes.values()),
}
ALMOST = {"exact": False, "idempotent": "rounding"}
THICK = {name: MATRICES[name] for name in ("conv", "normal", "empty", "single", "bfloat16")}
PAIR = {"a": normal(5, 4), "b": 3 * normal(3, 7, seed=1)}

LOW_RANK: tuple[Case, ...] = (
    *alone("rank2", LowRank(2), MATRICES, weighted=False, **ROUNDED),
    *alone("rank0", LowRank(0), MATRICES, weighted=False, **ROUNDED),
    *alone("rank99", LowRank(99), MATRICES, weighted=False, **ROUNDED),
    *alone("rank2-rows", LowRank(2, "out.kh|in.kw"), {"conv": TENSORS["conv"]}, weighted=False, **ROUNDED),
    *alone("rank2-columns", LowRank(2, "out.kw|in.kh"), {"conv": TENSORS["conv"]}, weighted=False, **ROUNDED),
    *alone("rank2-columns", LowRank(2, "out.kw|in.kh"), {"conv": TENSORS["conv"]}, weighted=True, **ALTERNATED)[1:],
    *(weighted(f"rank2-{name}", LowRank(2), name) for name in MATRICES),
    *(kronecker(f"rank2-{name}", LowRank(2), name) for name in ("normal", "heavy", "ties", "zero", "empty", "float16")),
    *alone(
        "rank3-factors",
        LowRank(3, left=AdaptiveCodebook(4), right=KeepLargest(0.5, values=AdaptiveCodebook(4))),
        MATRICES,
        weighted=False,
        **FACTORED,
    ),
    *alone("learned-rank", LearnedRank(0.3), MATRICES, weighted=False, **costing(0.3, Parameters())),
    *alone("learned-rank", LearnedRank(0.3), MATRICES, weighted=True, **HEAVY)[len(MATRICES) :],
    Case("learned-bits", LearnedRank(0.01, Bits(exact=True)), PAIR, **costing(0.01, Bits(exact=True))),
    Case("joint-learned-flops", Joint(LearnedRank(0.02, Flops(9))), PAIR, **costing(0.02, Flops(9))),
    *alone("nuclear", NuclearNorm(0.7), MATRICES, weighted=False, **SHRUNK),
    Case("joint-nuclear", Joint(NuclearNorm(0.7)), PAIR, **SHRUNK),
    *alone(
        "nuclear-factors",
        NuclearNorm(0.7, left=AdaptiveCodebook(4), right=AdaptiveCodebook(4)),
        MATRICES,
        weighted=False,
        **SHRUNK | FACTORED,
    ),
    *alone(
        "learned-factors",
        LearnedRank(0.3, left=AdaptiveCodebook(4), right=AdaptiveCodebook(4), full=AdaptiveCodebook(9)),
        MATRICES,
        weighted=False,
        **costing(0.3, Parameters()) | FACTORED,
    ),
    *alone("tucker2", Tucker(2, 2), MATRICES, weighted=False, **FACTORED),
    *alone("tucker99", Tucker(99, 99), THICK, weighted=False, **ALMOST),
    *alone("tucker-factors", Tucker(3, 2, Joint(AdaptiveCodebook(6))), THICK, weighted=False, **FACTORED),
    *alone("cp2", Canonical(2), MATRICES, weighted=False, **FACTORED),
    *alone("cp0", Canonical(0), THICK, weighted=False, **FACTORED),
    *alone("cp-factors", Canonical(3, AdaptiveCodebook(6)), THICK, weighted=False, **FACTORED),
    Case("joint-tucker", Joint(Tucker(1, 2)), PAIR, **FACTORED),
    Case("joint-cp", Joint(Canonical(1)), PAIR, **FACTORED),
    Case("joint-rank", Joint(LowRank(1)), {"a": normal(5, 4), "b": normal(3, 7)}, idempotent="rounding"),
    Case(
        "joint-rank-joint",
        Joint(LowRank(2, left=Joint(AdaptiveCodebook(8)))),
        {"a": normal(15, 4), "b": normal(13, 7)},
        **FACTORED,
    ),
)
