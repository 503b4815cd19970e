"""Quantization."""

import numpy as np

from laconic import (
    AdaptiveCodebook,
    FixedAssignments,
    FixedCodebook,
    Joint,
    KeepLargest,
    LowRank,
    RandomVectors,
    UniformGrid,
    WithinBytes,
)
from laconic.csteps.fixed_assignments import Hashed
from laconic.csteps.fixed_codebook import BINARY, TERNARY, integers, powers_of_two
from laconic.csteps.parametrisations import Cosine, Factors, Shared

from .case import (
    COMPOSED,
    DESCENT,
    FACTORED,
    FEW,
    MIXED,
    MODEST,
    PRICED,
    ROUNDED,
    SEVERAL,
    SHARED,
    SOUGHT,
    TENSORS,
    TRELLIS,
    Case,
    alone,
    index_bits_at,
    normal,
    quartic,
    together,
)

BITS = {"exact": False, "idempotent": "no", "penalty": index_bits_at(0.05)}

RARE = SOUGHT | {"usual": False}

NARROW = {name: TENSORS[name] for name in ("normal", "conv", "ties")}

QUANTIZATION: tuple[Case, ...] = (
    *alone("codebook1", AdaptiveCodebook(1), TENSORS, weighted=True),
    *alone("codebook4", AdaptiveCodebook(4), TENSORS, weighted=True),
    *alone("codebook300", AdaptiveCodebook(300), TENSORS, weighted=False),
    *together("each-codebook", AdaptiveCodebook(3), SEVERAL),
    *together("joint-codebook", Joint(AdaptiveCodebook(3)), SEVERAL),
    *together("joint-codebook-mixed", Joint(AdaptiveCodebook(5)), MIXED, **ROUNDED),
    *alone("codebook3-rows", AdaptiveCodebook(3, rows=True), FEW, weighted=True),
    *alone("codebook2-group", AdaptiveCodebook(2, group=7), FEW, weighted=True),
    *together("joint-codebook-group", Joint(AdaptiveCodebook(2, group=9)), SEVERAL),
    *alone("linear4", AdaptiveCodebook(4, start="linear"), FEW, weighted=True, **COMPOSED),
    *alone("density4", AdaptiveCodebook(4, start="density"), FEW, weighted=False, **COMPOSED),
    *alone("random4", AdaptiveCodebook(4, start="random", seed=5), FEW, weighted=True, **COMPOSED),
    *alone("priced6", AdaptiveCodebook(6, price=0.05), FEW, weighted=True, **BITS),
    *together(
        "joint-priced5", Joint(AdaptiveCodebook(5, price=0.1)), SEVERAL, **(BITS | {"penalty": index_bits_at(0.1)})
    ),
    *[
        Case(f"quartic3-{name}", AdaptiveCodebook(3), {name: tensor}, {name: quartic(tensor)}, **COMPOSED)
        for name, tensor in FEW.items()
    ],
    Case("joint-quartic3", Joint(AdaptiveCodebook(3)), SEVERAL, {"a": quartic(SEVERAL["a"])}, **COMPOSED),
    *alone("binary", FixedCodebook(BINARY), TENSORS, weighted=True, **ROUNDED),
    *alone("ternary", FixedCodebook(TERNARY), TENSORS, weighted=True, **ROUNDED),
    *alone("ternary-1", FixedCodebook(TERNARY, scale="none"), MODEST, weighted=True),
    *alone("powers3-1", FixedCodebook(powers_of_two(3), scale="none"), FEW, weighted=False),
    *alone("values-rows", FixedCodebook((-1, -0.3, 0.2, 2), rows=True), FEW, weighted=True, **ROUNDED),
    *alone("block4", FixedCodebook(integers(16), block=4), FEW, weighted=True, **ROUNDED),
    *together("each-block", FixedCodebook(integers(4), block=3), SEVERAL, **ROUNDED),
    *alone("powers2-group", FixedCodebook(powers_of_two(2), group=7), FEW, weighted=True, **ROUNDED),
    *together("joint-ternary", Joint(FixedCodebook(TERNARY)), SEVERAL, **ROUNDED),
    *together("joint-powers-mixed", Joint(FixedCodebook(powers_of_two(1))), MIXED, **ROUNDED),
    *together("each-binary-rows", FixedCodebook(BINARY, rows=True), SEVERAL, **ROUNDED),
    Case("no-tensors-ternary", Joint(FixedCodebook(TERNARY)), {}),
    *alone("ternary-priced", FixedCodebook(TERNARY, price=0.05), FEW, weighted=True, **BITS),
    *alone("powers2-priced-1", FixedCodebook(powers_of_two(2), scale="none", price=0.05), FEW, weighted=False, **BITS),
    *together("joint-binary-priced", Joint(FixedCodebook(BINARY, price=0.05)), SEVERAL, **BITS),
    *alone("keep-binary", KeepLargest(0.3, values=FixedCodebook(BINARY)), FEW, weighted=True, **SHARED),
    *alone("rank2-ternary", LowRank(2, left=FixedCodebook(TERNARY, rows=True)), NARROW, weighted=False, **FACTORED),
    *together("joint-keep-hashed", Joint(KeepLargest(0.4, values=FixedAssignments(Hashed(3)))), SEVERAL, **SHARED),
    *alone("hashed5", FixedAssignments(Hashed(5)), FEW, weighted=True),
    *together("joint-hashed3", Joint(FixedAssignments(Hashed(3, seed=1))), SEVERAL),
    *together("joint-hashed-mixed", Joint(FixedAssignments(Hashed(4))), MIXED, **ROUNDED),
    Case("labelled", FixedAssignments({"w": np.arange(30).reshape(6, 5) % 7 - 3}), {"w": normal(6, 5)}),
    Case("no-tensors-hashed", Joint(FixedAssignments(Hashed(2))), {}),
    *alone("grid0.3", UniformGrid(step=0.3), MODEST, weighted=True, **DESCENT),
    *alone("grid1e-3", UniformGrid(step=1e-3), MODEST, weighted=False, **DESCENT),
    *alone("grid0.3-rate", UniformGrid(step=0.3, rate=0.15), MODEST, weighted=True, **PRICED),
    *alone("grid-2bits", UniformGrid(bits=2), TENSORS, weighted=True, **SOUGHT),
    *alone("grid-0bits", UniformGrid(bits=0), TENSORS, weighted=False, **SOUGHT),
    *together("each-grid", UniformGrid(step=0.3), SEVERAL, **DESCENT),
    *together("joint-grid", Joint(UniformGrid(step=0.3)), SEVERAL, **DESCENT),
    *together("joint-grid-rate", Joint(UniformGrid(step=0.3, rate=0.15)), SEVERAL, **PRICED),
    *together("joint-grid-bits", Joint(UniformGrid(bits=1.5)), SEVERAL, **SOUGHT),
    *together("joint-grid-mixed", Joint(UniformGrid(bits=3)), MIXED, **SOUGHT),
    *alone("trellis-2bits", UniformGrid(bits=2, states=8), TENSORS, weighted=True, **SOUGHT),
    *alone("trellis0.1-rate", UniformGrid(step=0.1, rate=0.5, states=4), MODEST, weighted=True, **TRELLIS),
    *alone("trellis64", UniformGrid(bits=1.5, states=64, cosine=True, scales=True), TENSORS, weighted=False, **SOUGHT),
    *alone("grid-scales", UniformGrid(bits=3, cosine=True, scales=True), TENSORS, weighted=True, **SOUGHT),
    *alone("grid-rows", UniformGrid(bits=3, rows=True), TENSORS, weighted=True, **SOUGHT),
    *together("joint-trellis-rows", Joint(UniformGrid(bits=2, states=8, rows=True)), SEVERAL, **SOUGHT),
    *together("joint-trellis", Joint(UniformGrid(bits=2, states=8, scales=True)), SEVERAL, **SOUGHT),
    *alone("within300", WithinBytes(300), FEW, weighted=True, **SOUGHT),
    *alone("within300-trellis", WithinBytes(300, states=4), {"ties": TENSORS["ties"]}, weighted=False, **SOUGHT),
    *together("joint-within", Joint(WithinBytes(300)), SEVERAL, **SOUGHT),
    *together("joint-within-mixed", Joint(WithinBytes(400)), MIXED, **SOUGHT),
    *together("joint-within-cosine", Joint(WithinBytes(300, parametrisation=Cosine((2, 5)))), SEVERAL, **RARE),
    *together("joint-within-shared", Joint(WithinBytes(300, parametrisation=Shared(3, fewest=9))), SEVERAL, **RARE),
    *together("joint-within-factors", Joint(WithinBytes(300, parametrisation=Factors(2))), SEVERAL, **RARE),
    *alone("within-cosine", WithinBytes(300, parametrisation=Cosine()), NARROW, weighted=True, **SOUGHT),
    *alone("within-factors", WithinBytes(300, parametrisation=Factors(1)), NARROW, weighted=True, **SOUGHT),
    *alone("random3", RandomVectors(3, index_bits=6), FEW, weighted=True, **SOUGHT),
    *alone("random50", RandomVectors(50, index_bits=8, seed=1), TENSORS, weighted=True, **SOUGHT),
    *together("joint-random", Joint(RandomVectors(4, index_bits=5)), SEVERAL, **SOUGHT),
    *together("joint-random-mixed", Joint(RandomVectors(4, index_bits=5)), MIXED, **SOUGHT),
    *alone("hashed9-grid", FixedAssignments(Hashed(9), values=UniformGrid(bits=3)), FEW, weighted=True, **SOUGHT),
    *together("joint-hashed-codebook", Joint(FixedAssignments(Hashed(9), values=AdaptiveCodebook(3))), SEVERAL),
    *alone("hashed9-random", FixedAssignments(Hashed(9), values=RandomVectors(3)), NARROW, weighted=True, **SOUGHT),
    Case("no-tensors-random", Joint(RandomVectors(2)), {}, **SOUGHT),
    Case("no-tensors-within", Joint(WithinBytes(100)), {}, **SOUGHT),
    Case("no-tensors-grid", Joint(UniformGrid(bits=3)), {}, **SOUGHT),
    Case("no-tensors", Joint(AdaptiveCodebook(2)), {}),
)
