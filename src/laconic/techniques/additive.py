"""Techniques that leave a tensor as it is, and those that make it a sum."""

from laconic.csteps import Lossless
from laconic.techniques.technique import Option, Technique

ADDITIVE = (
    Technique(
        key="lossless",
        line="the weights stay as they are, to the bit; the file is entropy-coded all the same",
        compression=Lossless,
        build=lambda options: Lossless(),
        options={"lossless": Option(bool, "true")},
        example={"lossless": True},
    ),
)
