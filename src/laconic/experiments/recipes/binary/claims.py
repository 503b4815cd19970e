"""Statements on weights of few bits, and what the networks here say to them."""

from collections.abc import Mapping, Sequence

import numpy as np

from laconic.experiments.recipes.binary.runs import Row
from laconic.experiments.recipes.bootstrap import interval, over_seeds
from laconic.experiments.recipes.statement import Judged, lies_below
from laconic.experiments.recipes.verdict import DRAWS, LEVEL

_SLIDES = "LC slides: “binarize … in the forward pass … often heuristic”; “more compression for the same target loss”"

LOWER: Sequence[tuple[str, str, str]] = (
    ("LC, ±a", "BinaryConnect", _SLIDES),
    ("LC, ±a", "BinaryConnect, scaled", _SLIDES),
    ("LC, ±a", "BinaryConnect, drawn, signs", _SLIDES),
    ("LC, ±1", "BinaryConnect", _SLIDES),
    ("LC, ±a", "LC, ±1", "LC slides, fixed codebooks with and without a scale"),
    ("BinaryConnect, drawn", "BinaryConnect", "BinaryConnect: drawn weights regularize"),
    ("TTQ", "BinaryConnect", "TTQ: three values and trained scales against one bit"),
    ("BinaryConnect", "BNN", "RedBit, LeNet-5: activations of 32 bits against 1"),
)
"""(better, worse, where that is said)."""

PUBLISHED: Mapping[str, Sequence[tuple[str, str]]] = {
    "lenet300": (
        ("LC toolkit, LeNet-300-100 with tanh: 2 values of each tensor", "2.56 %, reference 2.13 %"),
        ("BinaryConnect, the authors' code: drawn weights, a larger MLP", "1.15 %"),
        (
            "Neural networks with few multiplications, code: larger MLP; real, binary, ternary weights",
            "1.33, 1.29, 1.15 %",
        ),
    ),
    "lenet5": (
        ("RedBit, LeNet-5: real", "0.41 %"),
        ("RedBit, weights of 1 bit: QNN, DoReFa, XNOR", "0.44, 0.31, 0.37 %"),
        ("RedBit, weights and activations of 1 bit: QNN, DoReFa, XNOR", "1.10, 0.94, 0.63 %"),
    ),
    "resnet20": (("IR2Net, ResNet-20: weights and activations of 1 bit", "12.8 %"),),
}
"""By network: what others report, in test errors."""


def errors_of(rows: Sequence[Row], method: str, rates: Mapping[str, float]) -> np.ndarray:
    """Return the test errors of a method at its rate, shape (seeds, samples); (0,) where it has no network."""
    return np.array([row.errors for row in at_rates(rows, rates) if row.method == method and len(row.errors)])


def at_rates(rows: Sequence[Row], rates: Mapping[str, float]) -> list[Row]:
    """Return the rows of references, and of each method those at its rate."""
    return [row for row in rows if row.rate is None or row.rate == rates.get(row.method)]


def judged(rows: Sequence[Row], rates: Mapping[str, float], seed: int) -> list[Judged]:
    """Return for each statement whether it holds on a network, by a bootstrap over seeds and test images at once.

    Args:
        rows: of one network, all seeds.
        rates: by method.
        seed: of the resamples.
    """
    found = list[Judged]()
    for better, worse, place in LOWER:
        one, other = (errors_of(rows, name, rates) for name in (better, worse))
        if not len(one) or one.shape != other.shape:
            continue
        gaps = (one - other).T
        (low,), (high,) = 100 * np.array(interval(over_seeds(gaps, DRAWS, np.random.default_rng(seed)), LEVEL))
        words = f"{100 * gaps.mean():+.2f} points, {low:+.2f} to {high:+.2f} with 95 %"
        found.append(Judged(f"{better}: lower test error than {worse}", place, lies_below(low, high), words))
    return found
