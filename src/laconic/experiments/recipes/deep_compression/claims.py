"""What the paper says of its pipeline, and what the networks here say to it."""

from collections.abc import Sequence

import numpy as np

from laconic.experiments.recipes.deep_compression.pipeline import Stage, layers_of
from laconic.experiments.recipes.deep_compression.sweep import STARTS, Point
from laconic.experiments.recipes.statement import Judged, growth, lower
from laconic.experiments.recipes.verdict import Answer, Curve
from laconic.insight.compression_statistics import total

SAVED = (0.2, 0.3)
"""What Huffman codes save, in the abstract's words."""


def judged(stages: Sequence[Stage], methods: Sequence[Point], kmeans: Sequence[Point], seed: int) -> list[Judged]:
    """Return the verdicts on a network.

    Args:
        stages: of figure 1.
        methods: of figure 6.
        kmeans: of figure 8.
        seed: of the resamples.
    """
    return [
        no_loss(stages[0].errors, stages[-1].errors, seed), *_coded(stages[-1]),
        *(_best("pruning and quantization work best when combined", "figure 6", "pruning + quantization", other,
                methods, seed, "rate") for other in ("pruning", "quantization", "SVD")),
        *(_best(f"linear initialisation is best, {when}", "figure 8", "linear", other, kmeans, seed, when)
          for other in STARTS[1:] for when in ("before training", "after training")),
    ]  # fmt: skip


def no_loss(before: np.ndarray, after: np.ndarray, seed: int) -> Judged:
    """Return whether errors have not grown beyond chance: the interval of their growth holds 0, or is below.

    Args:
        before: 1 where the reference is wrong, shape (samples,).
        after: where the compressed network is.
        seed: of the resamples.
    """
    low, _, words = growth(before, after, seed)
    return Judged("no loss of accuracy", "table 1", "holds" if low <= 0 else "does not hold", words)


def _coded(stage: Stage) -> list[Judged]:
    """Return whether values and indices are biased, and whether Huffman codes save what they are said to."""
    every = total(layers_of(stage))
    values, values_coded, indices, indices_coded = every.bits
    biased = values_coded < values and indices_coded < indices
    words = f"values {values:.2f} → {values_coded:.2f} bits, indices {indices:.2f} → {indices_coded:.2f}"
    low, high = SAVED
    saves: Answer = "holds" if low <= round(every.saved, 2) <= high else "does not hold"
    return [
        Judged("distributions of values and indices are biased", "figure 5", "holds" if biased else "does not hold",
               words),
        Judged("Huffman coding saves 20 to 30 %", "section 4", saves, f"{every.saved:.1%}"),
    ]  # fmt: skip


def _best(text: str, place: str, name: str, other: str, points: Sequence[Point], seed: int, when: str) -> Judged:
    """Return whether one curve lies below another at more places than above.

    Args:
        text: the statement.
        place: in the paper.
        name: of the curve that is said to be better.
        other: of the other one.
        points: of all curves.
        seed: of the resamples.
        when: "before training", by values and direct; "after training", by values; "rate", by rate.
    """
    curves = []
    for label in (name, other):
        own = [point for point in points if point.curve == label]
        at = np.array([point.rate if when == "rate" else point.value for point in own], np.float64)
        curves.append(
            Curve(at, np.stack([point.direct if when == "before training" else point.errors for point in own]))
        )
    return lower(f"{text}: against {other}", place, curves[0], curves[1], seed)
