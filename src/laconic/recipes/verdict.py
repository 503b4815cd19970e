"""Claims that one curve lies below another, and whether measurements bear them out."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from laconic.recipes.bootstrap import along, interval, resampled_means

LEVEL, DRAWS = 0.95, 2000

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
        quantifier: below at "every" ratio, or not above it at more than half of the ratios ("mostly").
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
        below: at what share of the places the better is not above the other.
    """

    answer: Answer
    shares: tuple[float, ...] = ()
    gaps: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    below: float = 0.0


def judge(better: Curve, worse: Curve, quantifier: Quantifier, seed: int) -> Verdict:
    """Return whether ``better`` lies below ``worse``, by a paired bootstrap over the test samples.

    "every" holds when the upper end of every interval is below 0, and does not when a lower end is above 0. "mostly"
    holds when in 97.5 % of the resamples the better is not above at more than half of the places, and does not when
    in 97.5 % it is above at half of them or more. All else is undecided: more test samples could tell.

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
    if quantifier == "every":
        answer = _answer(bool((high < 0).all()), bool((low > 0).any()))
    else:
        below = (means <= 0).mean(1)
        tail = (1 - LEVEL) / 2
        answer = _answer(float(np.mean(below <= 0.5)) <= tail, float(np.mean(below > 0.5)) <= tail)
    share = float((mean <= 0).mean())
    return Verdict(answer, _rounded(at), _rounded(mean), _rounded(low), _rounded(high), share)


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
