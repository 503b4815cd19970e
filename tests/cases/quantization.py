"""Quantization."""

from laconic.csteps import BINARY, TERNARY, AdaptiveCodebook, FixedCodebook, Joint, UniformGrid, powers_of_two

from .case import DESCENT, FEW, MIXED, MODEST, PRICED, ROUNDED, SEVERAL, SOUGHT, TENSORS, TRELLIS, Case, alone, together

QUANTIZATION: tuple[Case, ...] = (
    *alone("codebook1", AdaptiveCodebook(1), TENSORS, weighted=True),
    *alone("codebook4", AdaptiveCodebook(4), TENSORS, weighted=True),
    *alone("codebook300", AdaptiveCodebook(300), TENSORS, weighted=False),
    *together("each-codebook", AdaptiveCodebook(3), SEVERAL),
    *together("joint-codebook", Joint(AdaptiveCodebook(3)), SEVERAL),
    *together("joint-codebook-mixed", Joint(AdaptiveCodebook(5)), MIXED, **ROUNDED),
    *alone("binary", FixedCodebook(BINARY), TENSORS, weighted=True, **ROUNDED),
    *alone("ternary", FixedCodebook(TERNARY), TENSORS, weighted=True, **ROUNDED),
    *alone("ternary-1", FixedCodebook(TERNARY, scale="none"), MODEST, weighted=True),
    *alone("powers3-1", FixedCodebook(powers_of_two(3), scale="none"), FEW, weighted=False),
    *alone("values-rows", FixedCodebook((-1, -0.3, 0.2, 2), rows=True), FEW, weighted=True, **ROUNDED),
    *alone("powers2-group", FixedCodebook(powers_of_two(2), group=7), FEW, weighted=True, **ROUNDED),
    *together("joint-ternary", Joint(FixedCodebook(TERNARY)), SEVERAL, **ROUNDED),
    *together("joint-powers-mixed", Joint(FixedCodebook(powers_of_two(1))), MIXED, **ROUNDED),
    *together("each-binary-rows", FixedCodebook(BINARY, rows=True), SEVERAL, **ROUNDED),
    Case("no-tensors-ternary", Joint(FixedCodebook(TERNARY)), {}),
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
    Case("no-tensors-grid", Joint(UniformGrid(bits=3)), {}, **SOUGHT),
    Case("no-tensors", Joint(AdaptiveCodebook(2)), {}),
)
