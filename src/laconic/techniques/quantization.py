"""Techniques that give each weight one of a few values."""

from laconic.csteps import AdaptiveCodebook, UniformGrid
from laconic.techniques.technique import Option, Technique

_LATTICE = {
    "states": Option(int, "of the trellis: 1 for none, 4, 8, 16, 32, 64"),
    "cosine": Option(bool, "transform kernels first"),
    "scales": Option(bool, "tables by the scale of rows, columns and positions"),
}

QUANTIZATION = (
    Technique(
        key="codebook",
        line="each weight takes one of K values, which are learned (k-means)",
        compression=AdaptiveCodebook,
        build=lambda options: AdaptiveCodebook(options["codebook"]),
        options={"codebook": Option(int, "values")},
        example={"codebook": 4},
    ),
    Technique(
        key="grid",
        line="each weight is an integer times a step that is given, entropy-coded, the rate in the objective",
        compression=UniformGrid,
        build=lambda options: UniformGrid(step=options.pop("grid"), **options),
        options={
            "grid": Option(float, "step, in the units of the weights"),
            "rate": Option(float, "what a bit costs, in steps²"),
            **_LATTICE,
        },
        example={"grid": 0.01},
        exact=False,
    ),
    Technique(
        key="grid_bits",
        line="each weight is an integer times the step that meets so many bits a weight, entropy-coded",
        compression=UniformGrid,
        build=lambda options: UniformGrid(bits=options.pop("grid_bits"), **options),
        options={
            "grid_bits": Option(float, "bits a weight"),
            "rows": Option(bool, "a step for each row"),
            **_LATTICE,
        },
        example={"grid_bits": 3.0},
        exact=False,
    ),
)
