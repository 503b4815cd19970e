"""Two networks that learn from each other: against one, against an ensemble of two, and with old weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.experiments.recipes.codistillation.page import PUBLISHED_STEPS, figure, of_staleness, page, rows
from laconic.experiments.recipes.codistillation.runs import ALONE, NET, Effort, Pair, pair_of
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.statement import Judged, growth
from laconic.experiments.recipes.verdict import Answer
from laconic.training.optimization import Optimization, cosine

_SOURCE = (
    "Anil, Pereyra, Passos, Ormandi, Dahl & Hinton, Large scale distributed neural network training through online "
    "distillation, ICLR 2018"
)
_NEARLY = 0.1
"""Points of error: what is called as good, or harmless, costs less, with 95 %."""


@final
@dataclass(frozen=True)
class Grid:
    """What is run.

    Args:
        staleness: steps between exchanges.
        seeds: each of a pair of networks.
        mnist: how networks are trained there.
        digits: how on the digits of scikit-learn.
    """

    staleness: tuple[int, ...]
    seeds: tuple[int, ...]
    mnist: Effort
    digits: Effort


GRID = Grid(
    (1, 50, 500),
    (0, 1, 2),
    Effort("mnist", Optimization(20, 0.02, cosine), 128, 430),
    Effort("digits", Optimization(40, 0.05, cosine), 32, 38),
)
"""An epoch of burn-in. On the digits 500 steps are 13 epochs."""


def _run(context: Context) -> Outcome:
    """Train every pair, read the test split once for each, and judge."""
    there = holds(context.data_dir, "mnist", "train-images*")
    effort = GRID.mnist if there else GRID.digits
    seeds = GRID.seeds[:1] if context.fast else GRID.seeds
    places = [(staleness, seed) for seed in seeds for staleness in (ALONE, *GRID.staleness)]
    pairs = [
        pair_of(staleness, seed + context.seed, effort, context.part(at / len(places), (at + 1) / len(places)))
        for at, (staleness, seed) in enumerate(places)
    ]
    verdicts = judged(pairs, context.seed)
    record = {
        "recipe": "codistillation-mnist", "source": _SOURCE, "network": f"{NET} {effort.data}",
        "settings": {
            "epochs": effort.how.epochs, "lr": effort.how.lr, "batch": effort.batch, "burn_in": effort.burn_in,
            "staleness": list(GRID.staleness), "seeds": [seed + context.seed for seed in seeds],
        },
        "published": {"steps to 75 % on ImageNet, of two and of one": list(PUBLISHED_STEPS)},
        "rows": rows(pairs), "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    drawn = figure(pairs, f"LeNet-300-100 on {effort.data}: pairs of networks")
    return Outcome(record, page(pairs, verdicts, effort), {"codistillation.png": drawn})


def judged(pairs: Sequence[Pair], seed: int) -> list[Judged]:
    """Return what becomes of each claim, by the mean errors of one network over networks and seeds.

    That an error is lower holds where the interval of the difference lies below 0; that it is as good, where it ends
    below a tenth of a point; neither holds where the interval lies above 0.
    """

    def errors(staleness: int) -> np.ndarray:
        found: np.ndarray = np.mean([pair.errors.mean(0) for pair in of_staleness(pairs, staleness)], axis=0)
        return found

    ensemble = np.mean([pair.together for pair in of_staleness(pairs, ALONE)], axis=0)
    stale = sorted({pair.staleness for pair in pairs} - {ALONE})
    found = [
        _compared(
            "each of two codistilled networks has a lower error than one trained alone",
            "better than one network", errors(ALONE), errors(stale[0]), 0.0, seed,
        ),
        _compared(
            "each of two codistilled networks is as good as an ensemble of two trained alone",
            "as good as the ensemble", ensemble, errors(stale[0]), _NEARLY, seed,
        ),
    ]  # fmt: skip
    for staleness in stale[1:]:
        place = "50 steps are harmless" if staleness == 50 else "–"
        text = f"weights that are exchanged every {staleness} steps are as good as every {stale[0]}"
        found.append(_compared(text, place, errors(stale[0]), errors(staleness), _NEARLY, seed))
    return found


def _compared(text: str, place: str, before: np.ndarray, after: np.ndarray, margin: float, seed: int) -> Judged:
    """Return whether an error is lower than another one, or at most ``margin`` points above it."""
    low, high, words = growth(before, after, seed)
    answer: Answer = "holds" if high < margin else "does not hold" if low > 0 else "undecided"
    return Judged(text, place, answer, words)


RECIPES = (
    Recipe(
        "codistillation-mnist",
        "codistillation: two networks that learn from each other, against one and an ensemble, and with old weights",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "a quarter of an hour on one core (--fast: five minutes); a minute on digits",
        _run,
    ),
)
