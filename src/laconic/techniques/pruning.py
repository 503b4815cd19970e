"""Techniques that make most weights zero."""

from laconic.csteps import Compression, KeepLargest
from laconic.techniques.technique import Option, Technique

_VALUES = {"values": Option(Compression, "what becomes of those that stay")}

PRUNING = (
    Technique(
        key="keep",
        line="the weights that matter most stay, a share of them; the others are zero (ℓ0 constraint)",
        compression=KeepLargest,
        build=lambda options: KeepLargest(**options),
        options={"keep": Option(float, "share of the weights, 0 to 1"), **_VALUES},
        example={"keep": 0.05},
    ),
    Technique(
        key="count",
        line="the weights that matter most stay, so many of them; the others are zero (ℓ0 constraint)",
        compression=KeepLargest,
        build=lambda options: KeepLargest(**options),
        options={"count": Option(int, "weights"), **_VALUES},
        example={"count": 100},
    ),
)
