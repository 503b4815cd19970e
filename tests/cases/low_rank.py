"""Factors."""

from laconic.csteps import AdaptiveCodebook, Joint, KeepLargest, LowRank

from .case import FACTORED, MATRICES, ROUNDED, TENSORS, Case, alone, normal

LOW_RANK: tuple[Case, ...] = (
    *alone("rank2", LowRank(2), MATRICES, weighted=False, **ROUNDED),
    *alone("rank0", LowRank(0), MATRICES, weighted=False, **ROUNDED),
    *alone("rank99", LowRank(99), MATRICES, weighted=False, **ROUNDED),
    *alone("rank2-rows", LowRank(2, "out.kh|in.kw"), {"conv": TENSORS["conv"]}, weighted=False, **ROUNDED),
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
