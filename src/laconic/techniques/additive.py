"""Techniques that leave a tensor as it is, and those that make it a sum."""

from laconic.csteps import Additive, Lossless
from laconic.metric import Diagonal, Quartic, Unit
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
    Technique(
        key="sum",
        line="each tensor is a sum of compressed ones: quantized plus a few exact weights, low rank plus sparse",
        compression=Additive,
        build=lambda options: Additive(tuple(options.pop("sum")), **options),
        options={
            "sum": Option(tuple, "two to eight compressions, added up"),
            "sweeps": Option(int, "rounds over the parts at most"),
            "tolerance": Option(float, "relative gain of a round below which they end"),
        },
        example={"sum": [{"codebook": 2}, {"keep": 0.01}]},
        exact=False,
        metrics=(Unit, Diagonal, Quartic),  # those that all of its parts honour
    ),
)
