"""Factors."""

from laconic.csteps import AdaptiveCodebook, Compression, Joint, KeepLargest, LowRank
from laconic.metric import Kronecker

from .case import FACTORED, MATRICES, ROUNDED, TENSORS, Case, alone, importance, normal

ALTERNATED = {"exact": False, "idempotent": "rounding"}


def weighted(label: str, compression: Compression, name: str) -> Case:
    metrics = {name: importance(MATRICES[name])}
    return Case(f"{label}-weighted", compression, {name: MATRICES[name]}, metrics, **ALTERNATED)


def kronecker(label: str, compression: Compression, name: str) -> Case:
    """Under a metric of full rank, of condition near a hundred."""
    tensor = MATRICES[name]
    rows, columns = (normal(2 * size + 2, size, seed=size) for size in (tensor.shape[0], tensor[:1].numel() or 4))
    metrics = {name: Kronecker(rows.T @ rows / len(rows), columns.T @ columns / len(columns))}
    return Case(f"{label}-kronecker", compression, {name: tensor}, metrics, idempotent="rounding")


LOW_RANK: tuple[Case, ...] = (
    *alone("rank2", LowRank(2), MATRICES, weighted=False, **ROUNDED),
    *alone("rank0", LowRank(0), MATRICES, weighted=False, **ROUNDED),
    *alone("rank99", LowRank(99), MATRICES, weighted=False, **ROUNDED),
    *alone("rank2-rows", LowRank(2, "out.kh|in.kw"), {"conv": TENSORS["conv"]}, weighted=False, **ROUNDED),
    *alone("rank2-columns", LowRank(2, "out.kw|in.kh"), {"conv": TENSORS["conv"]}, weighted=True, **ALTERNATED),
    *(weighted(f"rank2-{name}", LowRank(2), name) for name in MATRICES),
    *(kronecker(f"rank2-{name}", LowRank(2), name) for name in ("normal", "heavy", "ties", "zero", "empty", "float16")),
    *alone(
        "rank3-factors",
        LowRank(3, left=AdaptiveCodebook(4), right=KeepLargest(0.5, values=AdaptiveCodebook(4))),
        MATRICES,
        weighted=False,
        **FACTORED,
    ),
    Case("joint-rank", Joint(LowRank(1)), {"a": normal(5, 4), "b": normal(3, 7)}, idempotent="rounding"),
    Case(
        "joint-rank-joint",
        Joint(LowRank(2, left=Joint(AdaptiveCodebook(8)))),
        {"a": normal(15, 4), "b": normal(13, 7)},
        **FACTORED,
    ),
)
