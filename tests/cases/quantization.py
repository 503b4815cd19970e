"""Quantization."""

from laconic.csteps import AdaptiveCodebook, Joint, UniformGrid

from .case import DESCENT, MIXED, MODEST, PRICED, ROUNDED, SEVERAL, SOUGHT, TENSORS, TRELLIS, Case, alone, together

QUANTIZATION: tuple[Case, ...] = (
    *alone("codebook1", AdaptiveCodebook(1), TENSORS, weighted=True),
    *alone("codebook4", AdaptiveCodebook(4), TENSORS, weighted=True),
    *alone("codebook300", AdaptiveCodebook(300), TENSORS, weighted=False),
    *together("each-codebook", AdaptiveCodebook(3), SEVERAL),
    *together("joint-codebook", Joint(AdaptiveCodebook(3)), SEVERAL),
    *together("joint-codebook-mixed", Joint(AdaptiveCodebook(5)), MIXED, **ROUNDED),
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
