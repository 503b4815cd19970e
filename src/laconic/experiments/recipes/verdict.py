"""Claims that one curve lies below another, and whether measurements bear them out."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from laconic.experiments.recipes.bootstrap import along, interval, resampled_means

LEVEL, DRAWS = 0.95, 4000

Quantifier = Literal["every", "mostly"]
Answer = Literal["holds", "does not hold", "undecided", "not measured"]


@final
@dataclass(frozen=True)
class Claim:
    """That one method costs less than another.

    Args:
        text: as the publication says it.
        better: the method that is said to be better.
        worse: the other one.
        measure: "loss" or "error".
        quantifier: below at "every" ratio, or below at more ratios than above ("mostly").
    """

    text: str
    better: str
    worse: str
    measure: Literal["loss", "error"]
    quantifier: Quantifier


@final
@dataclass(frozen=True, eq=False)
class Curve:
    """What a method costs on each test sample, at each compression.

    Args:
        shares: compressed over original size, shape (points,).
        costs: shape (points, samples).
    """

    shares: np.ndarray
    costs: np.ndarray


@final
@dataclass(frozen=True)
class Verdict:
    """What the measurements say.

    Args:
        answer: whether the claim holds.
        shares: where the two were compared: at the points of the worse one that the better one's range covers.
        gaps: cost of the better less that of the worse, means over the samples.
        low: lower ends of the intervals that hold all together with 95 % (Bonferroni).
        high: upper ends.
        below: at how many places the better is below beyond chance: the interval lies below 0.
        above: at how many it is above.
    """

    answer: Answer
    shares: tuple[float, ...] = ()
    gaps: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    below: int = 0
    above: int = 0


def judge(better: Curve, worse: Curve, quantifier: Quantifier, seed: int) -> Verdict:
    """Return whether ``better`` lies below ``worse``, by a paired bootstrap over the test samples.

    Two curves differ at a place where the interval of their gap does not hold 0. "every" holds when the better is below
    at every place, and does not when it is above anywhere. "mostly" holds when it is below at more places than above,
    and does not when it is above at more. All else is undecided: more test samples could tell.

    Args:
        better: the curve that is said to lie below.
        worse: the other one.
        quantifier: see above.
        seed: of the resamples.
    """
    one, other = _ascending(better), _ascending(worse)
    places = (other.shares >= one.shares.min(initial=np.inf)) & (other.shares <= one.shares.max(initial=-np.inf))
    if not places.any():
        return Verdict("not measured")
    at = other.shares[places]
    gaps = (along(at, one.shares, one.costs) - other.costs[places]).T
    means = resampled_means(gaps, DRAWS, np.random.default_rng(seed))
    low, high = interval(means, 1 - (1 - LEVEL) / len(at))
    mean = gaps.mean(0)
    below, above = int((high < 0).sum()), int((low > 0).sum())
    every = quantifier == "every"
    answer = _answer(below == len(at) if every else below > above, above > 0 if every else above > below)
    return Verdict(answer, _rounded(at), _rounded(mean), _rounded(low), _rounded(high), below, above)


def _answer(holds: bool, fails: bool) -> Answer:
    """Return the word."""
    return "holds" if holds else "does not hold" if fails else "undecided"


def _ascending(curve: Curve) -> Curve:
    """Return the curve with its points in the order of their shares."""
    order = np.argsort(curve.shares, kind="stable")
    return Curve(curve.shares[order], curve.costs[order].astype(np.float64))


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """Return six decimals: what no order of summation changes."""
    return tuple(round(float(value), 6) for value in values)
