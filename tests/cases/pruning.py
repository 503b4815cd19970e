"""Pruning."""

import numpy as np

from laconic.csteps import AdaptiveCodebook, Joint, KeepLargest, L0Penalty, L1Ball, L1Penalty, UniformGrid

from .case import COMPOSED, MIXED, MODEST, ROUNDED, SEVERAL, SHARED, SOUGHT, TENSORS, Case, alone, together

QUICK = {name: MODEST[name] for name in ("heavy", "conv", "empty", "scalar", "zero", "ties", "float16", "bfloat16")}


def priced(price, cost):
    """A price times a cost of the weights that the codes stand for."""
    return lambda codes: price * sum(float(cost(code.decompress().astype("float64"))) for code in codes.values())


KEPT = {"penalty": priced(0.3, np.count_nonzero), "exact": False}
COARSE = KEPT | {"idempotent": "no"}  # what is rounded down to less than the price goes the second time
SIZES = {"penalty": priced(0.3, lambda weights: np.abs(weights).sum()), "exact": False, "idempotent": "no"}

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
    *alone("l0-price", L0Penalty(0.3), MODEST, weighted=True, **KEPT),
    *alone("l0-price-codebook", L0Penalty(0.3, values=AdaptiveCodebook(3)), QUICK, weighted=True, **COARSE),
    *together("joint-l0-price", Joint(L0Penalty(0.3)), MIXED, **KEPT),
    *alone("l1-price", L1Penalty(0.3), MODEST, weighted=True, **SIZES),
    *together("joint-l1-price", Joint(L1Penalty(0.3)), MIXED, **SIZES),
    *alone("l1-radius", L1Ball(radius=9.0), TENSORS, weighted=True, **ROUNDED),
    *alone("l1-radius0", L1Ball(radius=0), QUICK, weighted=True),
    *together("joint-l1-radius", Joint(L1Ball(radius=9.0)), SEVERAL, **ROUNDED),
    *together("joint-l1-radius-mixed", Joint(L1Ball(radius=9.0)), MIXED, **ROUNDED),
    Case("no-tensors-l1", Joint(L1Ball(radius=1)), {}),
    Case("no-tensors-keep", Joint(KeepLargest(0.5)), {}),
)
