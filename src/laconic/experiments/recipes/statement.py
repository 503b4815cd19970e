"""Statements of the sources in words, with what measurements here say to each."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from laconic.experiments.recipes.bootstrap import interval, resampled_means
from laconic.experiments.recipes.verdict import DRAWS, LEVEL, Answer, Curve, judge


@final
@dataclass(frozen=True)
class Judged:
    """A statement and what became of it on a network.

    Args:
        text: the statement.
        place: where it is made.
        answer: whether it holds.
        figures: in words.
    """

    text: str
    place: str
    answer: Answer
    figures: str

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return asdict(self)


def percent(errors: np.ndarray) -> float:
    """Return the mean in percent, to four decimals."""
    return round(100 * float(errors.mean()), 4)


def table(judged: Iterable[Judged]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = ["| statement | in print | here | figures |", "|---|---|---|---|"]
    return lines + [f"| {one.text} | {one.place} | **{one.answer}** | {one.figures} |" for one in judged]


def growth(before: np.ndarray, after: np.ndarray, seed: int) -> tuple[float, float, str]:
    """Return the two ends of the interval in which the error has grown, in points, and the same in words.

    Args:
        before: 1 where a network is wrong, shape (samples,).
        after: where another one is.
        seed: of the resamples.
    """
    gaps = (after - before)[:, None]
    (low,), (high,) = interval(100 * resampled_means(gaps, DRAWS, np.random.default_rng(seed)), LEVEL)
    return float(low), float(high), f"{100 * gaps.mean():+.2f} points, {low:+.2f} to {high:+.2f} with 95 %"


def lies_below(low: float, high: float) -> Answer:
    """Return whether a difference, of which an interval is given, lies below 0: "holds" where all of the interval does.

    >>> lies_below(-2.0, -1.0), lies_below(-1.0, 1.0), lies_below(1.0, 2.0)
    ('holds', 'undecided', 'does not hold')
    """
    return "holds" if high < 0 else "does not hold" if low > 0 else "undecided"


def lower(text: str, place: str, better: Curve, worse: Curve, seed: int) -> Judged:
    """Return whether one curve of errors lies below another at more places than above."""
    verdict = judge(better, worse, "mostly", seed)
    gaps = ", ".join(f"{100 * gap:+.2f}" for gap in verdict.gaps)
    words = f"lower at {verdict.below}, higher at {verdict.above} of {len(verdict.gaps)}; gaps {gaps}"
    return Judged(text, place, verdict.answer, words if verdict.gaps else "–")
