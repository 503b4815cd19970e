"""Techniques that give each weight one of a few values."""

from typing import Any

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.fixed_assignments import FixedAssignments, Hashed
from laconic.csteps.fixed_codebook import BINARY, TERNARY, FixedCodebook, integers, powers_of_two
from laconic.csteps.lossless import Lossless
from laconic.csteps.parametrisations import parametrisation_of, said
from laconic.csteps.random_vectors import RandomVectors
from laconic.csteps.uniform_grid import UniformGrid
from laconic.csteps.within_bytes import WithinBytes
from laconic.plans.techniques.technique import Option, Technique
from laconic.theory.metric import Diagonal, Quartic, Unit

_LATTICE = {
    "states": Option(int, "of the trellis: 1 for none, 4, 8, 16, 32, 64"),
    "cosine": Option(bool, "transform kernels first"),
    "scales": Option(bool, "tables by the scale of rows, columns and positions"),
}

_GROUPS = {
    "rows": Option(bool, "one for each row"),
    "group": Option(int, "one for so many consecutive weights; 0 for one of all"),
}
_PRICE = {"price": Option(float, "of a bit, in squared weights; with one, the optimum is local")}
_SCALE = {"scale": Option(str, "learned (the default), or none: a = 1"), **_GROUPS, **_PRICE}


def _without(key: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options other than ``key``."""
    return {name: value for name, value in options.items() if name != key}


def _blocks(options: dict[str, Any]) -> FixedCodebook:
    """Return the compression of a row."""
    return FixedCodebook(integers(options.get("levels", 16)), block=options["block"])


def _said_blocks(compression: FixedCodebook) -> dict[str, Any] | None:
    """Invert `_blocks`."""
    levels = len(compression.entries)
    if not compression.block or levels % 2 or compression.entries != integers(levels):
        return None
    return {"block": compression.block, **({} if levels == 16 else {"levels": levels})}


def _said_hashed(compression: FixedAssignments) -> dict[str, Any] | None:
    """Return the options of hashed groups."""
    hashed = compression.labels
    if not isinstance(hashed, Hashed):
        return None
    seed = {"seed": hashed.seed} if hashed.seed else {}
    values = {} if isinstance(compression.values, Lossless) else {"values": compression.values}
    return {"hashed": hashed.groups, **seed, **values}


def _within_bytes(options: dict[str, Any]) -> WithinBytes:
    """Return the compression of a row."""
    return WithinBytes(options["within_bytes"], options.get("states", 1), parametrisation=parametrisation_of(options))


def _said_within_bytes(compression: WithinBytes) -> dict[str, Any] | None:
    """Invert `_within_bytes`."""
    made = said(compression.parametrisation)
    if compression.rest or made is None:
        return None
    states = {} if compression.states == 1 else {"states": compression.states}
    return {"within_bytes": compression.size, **states, **made}


QUANTIZATION = (
    Technique(
        key="codebook",
        line="each weight takes one of K values, which are learned (k-means)",
        compression=AdaptiveCodebook,
        build=lambda options: AdaptiveCodebook(options.pop("codebook"), **options),
        options={"codebook": Option(int, "values"), **_GROUPS},
        example={"codebook": 4},
        metrics=(Unit, Diagonal, Quartic),
    ),
    Technique(
        key="kmeans",
        line="each weight takes one of K values, learned by Lloyd's iteration from a start of Deep Compression's",
        compression=AdaptiveCodebook,
        build=lambda options: AdaptiveCodebook(options.pop("kmeans"), **{"start": "linear", **options}),
        options={
            "kmeans": Option(int, "values"),
            "start": Option(str, "linear (the default), density or random"),
            "seed": Option(int, "of the random start"),
        },
        example={"kmeans": 16},
        exact=False,
    ),
    Technique(
        key="priced_codebook",
        line="each weight takes one of K values or fewer, learned with a price on the bits of its index",
        compression=AdaptiveCodebook,
        build=lambda options: AdaptiveCodebook(options.pop("priced_codebook"), **options),
        options={
            "priced_codebook": Option(int, "values at most"),
            **_PRICE,
        },
        example={"priced_codebook": 16, "price": 1e-4},
        exact=False,
    ),
    Technique(
        key="binary",
        line="each weight is −a or a; a is learned, or 1",
        compression=FixedCodebook,
        build=lambda options: FixedCodebook(BINARY, **_without("binary", options)),
        options={"binary": Option(bool, "true"), **_SCALE},
        example={"binary": True},
    ),
    Technique(
        key="ternary",
        line="each weight is −a, 0 or a; a is learned, or 1",
        compression=FixedCodebook,
        build=lambda options: FixedCodebook(TERNARY, **_without("ternary", options)),
        options={"ternary": Option(bool, "true"), **_SCALE},
        example={"ternary": True},
    ),
    Technique(
        key="powers_of_two",
        line="each weight is 0, ±a, ±a/2, … or ±a/2^C; a is learned, or 1",
        compression=FixedCodebook,
        build=lambda options: FixedCodebook(
            powers_of_two(options["powers_of_two"]), **_without("powers_of_two", options)
        ),
        options={"powers_of_two": Option(int, "C, of the smallest power"), **_SCALE},
        example={"powers_of_two": 3},
    ),
    Technique(
        key="fixed_codebook",
        line="each weight is one of the given values, times a scale that is learned, or 1",
        compression=FixedCodebook,
        build=lambda options: FixedCodebook(tuple(options["fixed_codebook"]), **_without("fixed_codebook", options)),
        options={"fixed_codebook": Option(list, "values"), **_SCALE},
        example={"fixed_codebook": [-1.0, -0.3, 0.3, 1.0]},
    ),
    Technique(
        key="block",
        line="each weight is an integer of a few bits times the scale of its block, as runtimes multiply them",
        compression=FixedCodebook,
        build=_blocks,
        options={
            "block": Option(int, "weights of a row that share a scale; a row that it does not divide has one"),
            "levels": Option(int, "integers: 16, of 4 bits, unless told; 256, of 8"),
        },
        example={"block": 32},
        say=_said_blocks,
    ),
    Technique(
        key="hashed",
        line="weights whose positions hash to one of so many groups share a value, which is learned",
        compression=FixedAssignments,
        build=lambda options: FixedAssignments(
            Hashed(options["hashed"], options.get("seed", 0)), options.get("values", Lossless())
        ),
        options={
            "hashed": Option(int, "groups"),
            "seed": Option(int, "of the hash"),
            "values": Option(Compression, "what becomes of the shared values"),
        },
        example={"hashed": 64},
        say=_said_hashed,
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
    Technique(
        key="within_bytes",
        line="tensors take so many bytes together: integers on steps of their own, at one price of a bit",
        compression=WithinBytes,
        build=_within_bytes,
        options={
            "within_bytes": Option(int, "bytes of a file"),
            "states": _LATTICE["states"],
            "cosine": Option(bool, "on the grid is the cosine transform of kernels"),
            "maps": Option(list, "height and width of the maps that a matrix reads, to transform it too"),
            "shared": Option(float, "on the grid are values that so many weights share by a hash"),
            "factors": Option(int, "on the grid are two factors of this rank at most"),
        },
        example={"within_bytes": 500},
        exact=False,
        say=_said_within_bytes,
    ),
    Technique(
        key="random_vectors",
        line="a block of so many weights is a scale times one of 2^b vectors that a seed gives",
        compression=RandomVectors,
        build=lambda options: RandomVectors(options.pop("random_vectors"), **options),
        options={
            "random_vectors": Option(int, "weights a block"),
            "index_bits": Option(int, "b, of the index of a block; 12 unless told"),
            "seed": Option(int, "of the vectors"),
        },
        example={"random_vectors": 6},
        exact=False,
        say=lambda one: {
            "random_vectors": one.length,
            **({} if one.index_bits == 12 else {"index_bits": one.index_bits}),
            **({"seed": one.seed} if one.seed else {}),
        },
    ),
)
