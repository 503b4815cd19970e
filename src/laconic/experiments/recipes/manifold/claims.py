"""What is said of the figure, and whether it holds over many draws of T."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from laconic.experiments.recipes.bootstrap import interval, resampled_means
from laconic.experiments.recipes.manifold.embedding import LINEAR, MEASURES, RELU
from laconic.experiments.recipes.statement import Judged, lies_below
from laconic.experiments.recipes.verdict import DRAWS, LEVEL, Answer

Measured = Mapping[tuple[int, str], np.ndarray]
"""Of each number of dimensions and layer the measures of each draw, shape (draws, measures)."""

FEW, MANY = (2, 3), (15, 30)
"""Dimensions of which the figure says that points collapse, and that the layer is highly non-convex."""

_EXACT = 1e-6
_FIGURE, _SECTION = "figure 1", "section 3.2"


def judged(measured: Measured, seed: int) -> list[Judged]:
    """Return what becomes of each claim.

    That one mean is less than another holds where the 95 % interval of the difference lies below 0, and does not where
    it lies above; of several differences all must, with intervals that hold all together (Bonferroni).

    Args:
        measured: see `Measured`; all dimensions have as many draws.
        seed: of the resamples over draws.
    """
    found = [
        _less("in 2 and 3 dimensions the ReLU puts points together: more pairs than in 15 and 30", _FIGURE,
              [_mean(measured, MANY, "together") - _mean(measured, FEW, "together")], seed, 100, "% of the pairs"),
        _less("in 2 and 3 dimensions it is the ReLU: a linear layer puts fewer pairs together", "lecture",
              [_of(measured, n, LINEAR, "together") - _of(measured, n, RELU, "together") for n in FEW], seed, 100,
              "% of the pairs"),
        _less("in 15 and 30 dimensions the layer is highly non-convex: the spiral passes more linear pieces than in "
              "2 and 3", _FIGURE, [_mean(measured, FEW, "pieces") - _mean(measured, MANY, "pieces")], seed, 1,
              "pieces"),
    ]  # fmt: skip
    numbers = sorted({n for n, _ in measured})
    steps = [
        _of(measured, after, RELU, "error") - _of(measured, before, RELU, "error")
        for before, after in pairwise(numbers)
    ]
    text = "the more dimensions, the more of the manifold is kept: the way back is nearer to it at each step"
    found.append(_less(text, _SECTION, steps, seed, 1, "relative error"))
    return [*found, _kept(measured)]


def _kept(measured: Measured) -> Judged:
    """Return whether a linear layer loses nothing, in any draw."""
    worst = {
        name: max(float(_of(measured, n, LINEAR, name).max()) for n, _ in measured) for name in ("together", "error")
    }
    answer: Answer = "holds" if worst["together"] == 0 and worst["error"] <= _EXACT else "does not hold"
    error = f"at most {_EXACT:g}" if worst["error"] <= _EXACT else f"up to {worst['error']:.2g}"
    figures = f"relative error of all draws {error}; pairs put together {worst['together']:.2%}"
    return Judged("a linear layer keeps the whole manifold in every dimension", _SECTION, answer, figures)


def _of(measured: Measured, n: int, layer: str, name: str) -> np.ndarray:
    """Return a measure of each draw."""
    column: np.ndarray = measured[n, layer][:, MEASURES.index(name)]
    return column


def _mean(measured: Measured, numbers: Sequence[int], name: str) -> np.ndarray:
    """Return the mean of a measure with the ReLU over some numbers of dimensions, of each draw."""
    found: np.ndarray = np.mean([_of(measured, n, RELU, name) for n in numbers], axis=0)
    return found


def _less(text: str, place: str, gaps: Sequence[np.ndarray], seed: int, times: float, unit: str) -> Judged:
    """Return the statement that all these differences are below 0 in the mean over draws."""
    values = np.stack(gaps, 1) * times
    means = resampled_means(values, DRAWS, np.random.default_rng(seed))
    low, high = interval(means, 1 - (1 - LEVEL) / len(gaps))
    answers = [lies_below(float(one), float(other)) for one, other in zip(low, high, strict=True)]
    answer: Answer = (
        "does not hold" if "does not hold" in answers else "undecided" if "undecided" in answers else "holds"
    )
    words = [f"{m:+.3g} ({a:+.3g} to {b:+.3g})" for m, a, b in zip(values.mean(0), low, high, strict=True)]
    return Judged(text, place, answer, f"{', '.join(words)} {unit}")
