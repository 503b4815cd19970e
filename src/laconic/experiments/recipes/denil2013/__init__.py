"""A few weights of a layer predict the others: kernel ridge, afterwards and in training, and what that is as a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from laconic.experiments.recipes.denil2013.page import errors, figure, page, rows
from laconic.experiments.recipes.denil2013.runs import (
    LOW_RANK,
    NET,
    PREDICTED,
    RANDOM,
    SMOOTH,
    WHOLE,
    Effort,
    Run,
    Subject,
)  # fmt: skip
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.statement import Judged, growth, lies_below
from laconic.experiments.recipes.verdict import Answer
from laconic.training.optimization import Optimization, cosine

_SOURCE = (
    "Denil, Shakibi, Dinh, Ranzato & de Freitas, Predicting parameters in deep learning, NIPS 2013 (their networks "
    "have two layers of 500 units)"
)
_CLAIMED = 0.05
"""The share of the weights that is said to do."""

_NO_DROP = 0.1
"""Points of error: what costs less, with 95 %, is no drop."""


@final
@dataclass(frozen=True)
class Grid:
    """What is run.

    Args:
        shares: of the first layer's numbers.
        seeds: of networks and dictionaries.
        mnist: how networks are trained there.
        digits: how on the digits of scikit-learn.
    """

    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    mnist: Effort
    digits: Effort


GRID = Grid(
    (0.025, _CLAIMED, 0.1, 0.25),
    (0, 1, 2),
    Effort("mnist", Optimization(10, 0.05, cosine), 128),
    Effort("digits", Optimization(20, 0.05, cosine), 32),
)


def _run(context: Context) -> Outcome:
    """Train every network, read the test split once for each, and judge."""
    there = holds(context.data_dir, "mnist", "train-images*")
    effort = GRID.mnist if there else GRID.digits
    seeds = [seed + context.seed for seed in (GRID.seeds[:1] if context.fast else GRID.seeds)]
    runs = list[Run]()
    for place, seed in enumerate(seeds):
        runs += _of_seed(Subject.of(effort, context.part(place / len(seeds), (place + 1) / len(seeds)), seed))
    verdicts = judged(runs, context.seed)
    record = {
        "recipe": "denil2013", "source": _SOURCE, "network": f"{NET} {effort.data}",
        "settings": {
            "epochs": effort.how.epochs, "lr": effort.how.lr, "batch": effort.batch, "shares": list(GRID.shares),
            "seeds": seeds,
        },
        "rows": rows(runs), "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    title = f"First layer of LeNet-300-100 on {effort.data}: mean of {len(seeds)} seed{'s' * (len(seeds) > 1)}"
    return Outcome(record, page(runs, verdicts, effort), {"denil2013.png": figure(runs, title)})


def _of_seed(subject: Subject) -> list[Run]:
    """Return all runs of a seed."""
    methods = (SMOOTH, RANDOM, LOW_RANK)
    steps = len(methods) * len(GRID.shares)
    whole, params = subject.part(0.0, 1 / (steps + 1)).whole()
    runs = [whole, *(subject.predicted(share, params) for share in GRID.shares)]
    places = [(method, share) for method in methods for share in GRID.shares]
    for at, (method, share) in enumerate(places, 1):
        part = subject.part(at / (steps + 1), (at + 1) / (steps + 1))
        runs.append(part.trained(method, share))
    return runs


def judged(runs: Sequence[Run], seed: int) -> list[Judged]:
    """Return what becomes of each claim, by mean errors over the seeds.

    That an error is no higher holds where the interval of the difference ends below a tenth of a point, and does not
    where it begins above 0; that one is lower, where it lies below 0.
    """
    whole, trained = errors(runs, WHOLE, 1.0), errors(runs, SMOOTH, _CLAIMED)
    found = []
    for text, place, after in (
        ("95 % of the layer's weights can be predicted, and need not be trained, without a drop in accuracy",
         "more than 95 % of the weights of a network, in the best case (abstract)", trained),
        ("5 % of a trained layer's weights predict the others without a drop in accuracy",
         "5 % are sufficient to predict the remaining weights (lecture)", errors(runs, PREDICTED, _CLAIMED)),
    ):  # fmt: skip
        low, high, words = growth(whole, after, seed)
        answer: Answer = "holds" if high < _NO_DROP else "does not hold" if low > 0 else "undecided"
        found.append(Judged(text, place, answer, words))
    for method, what in ((RANDOM, "a random dictionary"), (LOW_RANK, "low rank with as many trained numbers")):
        low, high, words = growth(errors(runs, method, _CLAIMED), trained, seed)
        text = f"at 5 % the kernel's dictionary has a lower error than {what}"
        found.append(Judged(text, "–", lies_below(low, high), words))
    return found


RECIPES = (
    Recipe(
        "denil2013",
        "predicting weights: a layer from 5 % of its weights, afterwards and in training, against low rank, and files",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "a quarter of an hour on one core (--fast: five minutes); half a minute on digits",
        _run,
    ),
)
