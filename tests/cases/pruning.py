"""Pruning."""

import numpy as np
import torch

from laconic import (
    AdaptiveCodebook,
    GroupPenalty,
    Groups,
    Joint,
    KeepGroups,
    KeepLargest,
    KeepNOfM,
    L0Penalty,
    L1Ball,
    L1Penalty,
    LowRank,
    PricedPruning,
    UniformGrid,
)

from .case import (
    COMPOSED,
    FACTORED,
    MIXED,
    MODEST,
    ROUNDED,
    SEVERAL,
    SHARED,
    SOUGHT,
    TENSORS,
    Case,
    alone,
    normal,
    together,
)

QUICK = {name: MODEST[name] for name in ("heavy", "conv", "empty", "scalar", "zero", "ties", "float16", "bfloat16")}


def priced(price, cost):
    """A price times a cost of the weights that the codes stand for."""
    return lambda codes: price * sum(float(cost(code.decompress().astype("float64"))) for code in codes.values())


KEPT = {"penalty": priced(0.3, np.count_nonzero)}
COARSE = KEPT | {"exact": False, "idempotent": "no"}  # what is rounded down to less than the price goes the second time
SIZES = {"penalty": priced(0.3, lambda weights: np.abs(weights).sum()), "idempotent": "no"}
ROWS = {name: tensor for name, tensor in QUICK.items() if tensor.ndim}
WIDE = {name: tensor for name, tensor in TENSORS.items() if tensor.ndim >= 2}
NORMS = {"idempotent": "no"}
RATE = {
    "penalty": lambda codes: 0.02 * PricedPruning(0.02).bits(codes),
    "idempotent": "no",  # with what is lost gone, positions may cost less
}
LAYERS = {"a": normal(20, 10, seed=1), "b": 5 * normal(4, 3, 2, 2, seed=2), "c": torch.zeros(0, 2)}


def norms(groups, price):
    """The penalty of a group lasso, over slices of the matrix."""

    def cost(codes):
        total = 0.0
        for name, code in codes.items():
            array = code.decompress().astype("float64")
            matrix = array.reshape(len(array), -1) if array.size else np.zeros((0, 0))
            r, c = groups.tile(name, code.shape)
            for i in range(0, matrix.shape[0], r):
                for j in range(0, matrix.shape[1], c):
                    total += float(np.sqrt(np.square(matrix[i : i + r, j : j + c]).sum()))
        return price * total

    return cost


FILTERS, BLOCKS = Groups("filters"), Groups("blocks", (3, 4))

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
    *alone("l1-price-codebook", L1Penalty(0.3, AdaptiveCodebook(3)), QUICK, weighted=True, **SIZES | COMPOSED),
    *alone("l1-radius-codebook", L1Ball(radius=9.0, values=AdaptiveCodebook(3)), QUICK, weighted=True, **SOUGHT),
    *alone("l1-radius", L1Ball(radius=9.0), TENSORS, weighted=True, **ROUNDED),
    *alone("l1-radius0", L1Ball(radius=0), QUICK, weighted=True),
    *together("joint-l1-radius", Joint(L1Ball(radius=9.0)), SEVERAL, **ROUNDED),
    *together("joint-l1-radius-mixed", Joint(L1Ball(radius=9.0)), MIXED, **ROUNDED),
    *alone("filters", KeepGroups(FILTERS, keep=0.4), {n: t for n, t in TENSORS.items() if t.ndim}, weighted=True),
    *alone("channels", KeepGroups(Groups("channels"), count=3), WIDE, weighted=False),
    *alone("heads", KeepGroups(Groups("heads", (2,)), count=1), {"conv": TENSORS["conv"]}, weighted=True),
    *alone("blocks", KeepGroups(BLOCKS, keep=0.4), QUICK, weighted=True),
    *alone("blocks-budget", KeepGroups(BLOCKS, budget=0.4), QUICK, weighted=True, **COMPOSED),
    *alone("filters-l1", KeepGroups(FILTERS, keep=0.4, score="l1"), ROWS, weighted=True, **COMPOSED),
    *alone("blocks-codebook", KeepGroups(BLOCKS, keep=0.4, values=AdaptiveCodebook(3)), QUICK, True, **COMPOSED),
    *alone("filters-rank", KeepGroups(FILTERS, keep=0.5, values=LowRank(2)), WIDE, False, **FACTORED),
    *together("joint-filters", Joint(KeepGroups(FILTERS, count=9)), LAYERS),
    *together("joint-tensors", Joint(KeepGroups(Groups("tensors"), count=1)), LAYERS),
    *together("joint-filters-mixed", Joint(KeepGroups(FILTERS, keep=0.3)), MIXED),
    *alone("group-price", GroupPenalty(FILTERS, 1.5), ROWS, True, penalty=norms(FILTERS, 1.5), **NORMS),
    *alone("block-price", GroupPenalty(BLOCKS, 1.0), ROWS, True, penalty=norms(BLOCKS, 1.0), **NORMS),
    *alone(
        "group-price-codebook",
        GroupPenalty(FILTERS, 1.5, AdaptiveCodebook(3)),
        ROWS,
        True,
        penalty=norms(FILTERS, 1.5),
        **NORMS | COMPOSED,
    ),
    *together("joint-group-price", Joint(GroupPenalty(FILTERS, 1.5)), LAYERS, penalty=norms(FILTERS, 1.5), **NORMS),
    *alone("2of4", KeepNOfM(2, 4), TENSORS, weighted=True),
    *alone("3of16", KeepNOfM(3, 16), QUICK, weighted=True),
    *alone("1of3-codebook", KeepNOfM(1, 3, values=AdaptiveCodebook(3)), QUICK, weighted=True, **COMPOSED),
    *together("joint-2of4", Joint(KeepNOfM(2, 4)), SEVERAL),
    *alone("prune-bits", PricedPruning(0.02), MODEST, weighted=True, **RATE),
    *alone(
        "prune-bits-codebook", PricedPruning(0.02, values=AdaptiveCodebook(3)), QUICK, weighted=True, **RATE | COMPOSED
    ),
    *together("joint-prune-bits", Joint(PricedPruning(0.02)), MIXED, **RATE),
    Case("no-tensors-groups", Joint(KeepGroups(FILTERS, keep=0.5)), {}),
    Case("no-tensors-prune-bits", Joint(PricedPruning(1.0)), {}),
    Case("no-tensors-l1", Joint(L1Ball(radius=1)), {}),
    Case("no-tensors-keep", Joint(KeepLargest(0.5)), {}),
)
