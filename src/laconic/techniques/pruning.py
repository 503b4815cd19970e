"""Techniques that make most weights zero."""

from laconic.csteps import Compression, KeepLargest, L0Penalty, L1Ball, L1Penalty
from laconic.metric import Diagonal, Quartic, Unit
from laconic.techniques.technique import Option, Technique

_VALUES = {"values": Option(Compression, "what becomes of those that stay")}
_SEPARABLE = (Unit, Diagonal, Quartic)

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
        build=lambda options: L1Penalty(price=options["l1_price"]),
        options={"l1_price": Option(float, "of a weight of size 1, in units of the distortion")},
        example={"l1_price": 1e-2},
    ),
    Technique(
        key="l1_radius",
        line="the sizes of the weights sum to so much at most; small ones are zero, others shrink (ℓ1 constraint)",
        compression=L1Ball,
        build=lambda options: L1Ball(radius=options["l1_radius"]),
        options={"l1_radius": Option(float, "of the ball, in the units of the weights")},
        example={"l1_radius": 100.0},
    ),
    Technique(
        key="l1_share",
        line="the sizes of the weights sum to a share at most of what they are given with (ℓ1 constraint)",
        compression=L1Ball,
        build=lambda options: L1Ball(share=options["l1_share"]),
        options={"l1_share": Option(float, "of the sum of sizes")},
        example={"l1_share": 0.5},
    ),
)
