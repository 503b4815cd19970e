"""What the paper says of its pipeline, and what the networks here say to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from laconic.experiments.recipes.bootstrap import interval, resampled_means
from laconic.experiments.recipes.deep_compression.pipeline import Stage, layers_of
from laconic.experiments.recipes.deep_compression.sweep import STARTS, Point
from laconic.experiments.recipes.verdict import DRAWS, LEVEL, Answer, Curve, judge
from laconic.insight.compression_statistics import total

SAVED = (0.2, 0.3)
"""What Huffman codes save, in the abstract's words."""


@final
@dataclass(frozen=True)
class Judged:
    """A statement and what became of it on a network.

    Args:
        text: the statement.
        place: in the paper.
        answer: whether it holds.
        figures: in words.
    """

    text: str
    place: str
    answer: Answer
    figures: str

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {"text": self.text, "place": self.place, "answer": self.answer, "figures": self.figures}


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
    gaps = (after - before)[:, None]
    means = resampled_means(gaps, DRAWS, np.random.default_rng(seed))
    (low,), (high,) = interval(100 * means, LEVEL)
    words = f"{100 * gaps.mean():+.2f} points, {low:+.2f} to {high:+.2f} with 95 %"
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
    verdict = judge(curves[0], curves[1], "mostly", seed)
    gaps = ", ".join(f"{100 * gap:+.2f}" for gap in verdict.gaps)
    words = f"lower at {verdict.below}, higher at {verdict.above} of {len(verdict.gaps)}; gaps {gaps}"
    return Judged(f"{text}: against {other}", place, verdict.answer, words if verdict.gaps else "–")
