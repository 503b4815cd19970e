"""Pruning."""

from laconic.csteps import AdaptiveCodebook, Joint, KeepLargest, UniformGrid

from .case import COMPOSED, MIXED, SEVERAL, SHARED, SOUGHT, TENSORS, Case, alone, together

PRUNING: tuple[Case, ...] = (
    *alone("keep20%", KeepLargest(keep=0.2), TENSORS, weighted=True),
    *alone("keep0", KeepLargest(keep=0), TENSORS, weighted=False),
    *alone("keep1000", KeepLargest(count=1000), TENSORS, weighted=True),
    *alone("keep-codebook", KeepLargest(0.3, values=AdaptiveCodebook(3)), TENSORS, weighted=True, **COMPOSED),
    *together("joint-keep", Joint(KeepLargest(0.25)), SEVERAL),
    *together("joint-keep-mixed", Joint(KeepLargest(count=7)), MIXED),
    *together("joint-keep-codebook", Joint(KeepLargest(0.25, values=AdaptiveCodebook(3))), SEVERAL, **COMPOSED),
    *together("joint-keep-joint", Joint(KeepLargest(0.25, values=Joint(AdaptiveCodebook(3)))), MIXED, **SHARED),
    *alone("keep-grid", KeepLargest(0.3, values=UniformGrid(bits=3)), TENSORS, weighted=True, **SOUGHT),
    *alone("keep-trellis", KeepLargest(0.3, values=UniformGrid(bits=3, states=8)), TENSORS, weighted=True, **SOUGHT),
    Case("no-tensors-keep", Joint(KeepLargest(0.5)), {}),
)
