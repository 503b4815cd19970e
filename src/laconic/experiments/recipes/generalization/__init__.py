"""Do compressed networks generalize better than weight decay, where training samples are few?"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.experiments.recipes.generalization.methods import METHODS, Effort, Few, Run, run_of
from laconic.experiments.recipes.generalization.page import figure, page, rows
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.statement import Judged, lower
from laconic.experiments.recipes.verdict import Curve
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models import data, nets
from laconic.models.data.dataset import Dataset
from laconic.models.data.digits import stratified_order
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import classification

_NET, _PER_EPOCH = "lenet300", 5
_SOURCE = (
    "the rule: Breiman et al., Classification and Regression Trees (1984), section 3.4.3; the algorithm: "
    "Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021"
)


@final
@dataclass(frozen=True)
class Grid:
    """What is run.

    Args:
        sizes: training samples.
        seeds: of samples, first weights, folds and batches.
        effort: how long each network is trained.
    """

    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    effort: Effort


_REFERENCE, _STEP, _STEPS, _TUNED = 30, 2, 10, 10

GRID = Grid(
    (100, 200, 500),
    (0, 1, 2),
    Effort(
        folds=3,
        reference=Optimization(_REFERENCE, 0.1, cosine),
        learning=Training(
            steps=_STEPS, l_step=Optimization(_STEP, 0.1), decay=0.95, growth=1.3, fast=1.6,
            finetune=replace(FINE_TUNING, epochs=_TUNED),
        ),
        alone=Optimization(_REFERENCE + _STEP * _STEPS + _TUNED, 0.1, cosine),
    ),
)  # fmt: skip
"""What is not compressed is trained for as many epochs as the reference, LC and fine-tuning together."""


def _few(size: int, seed: int) -> Few:
    """Return the task of so many training images, in proportion to the classes, and first weights for it."""
    digits = data.load("digits", None, nets.preprocessing_of(_NET, "digits"), validation=0)
    inputs, labels = digits.split("train")
    drawn = stratified_order(labels.numpy(), seed)[:size].copy()
    small = Dataset(digits.name, {"train": (inputs[drawn], labels[drawn]), "test": digits.split("test")}, 10)
    module = nets.build(_NET, small.shape, small.classes, seed)
    return Few(classification(module, small, batch=size // _PER_EPOCH), size, seed)


def _run(context: Context) -> Outcome:
    """Train and compress every network, read the test split once, and judge."""
    grid = replace(GRID, sizes=GRID.sizes[:1]) if context.fast else GRID
    places = [(size, seed) for size in grid.sizes for seed in grid.seeds]
    runs = list[Run]()
    for at, (size, seed) in enumerate(places):
        few = _few(size, seed + context.seed)
        for number, method in enumerate(METHODS):
            begun = at + number / len(METHODS)
            part = context.part(begun / len(places), (begun + 1 / len(METHODS)) / len(places))
            runs.append(run_of(method, few, grid.effort, part))
    verdicts = judged(runs, context.seed)
    record = {
        "recipe": "generalization", "source": _SOURCE, "network": f"{_NET} digits",
        "settings": {
            "sizes": list(grid.sizes), "seeds": list(grid.seeds), "folds": grid.effort.folds,
            "tried": {method.name: list(method.values) for method in METHODS},
            "epochs": {"reference": grid.effort.reference.epochs, "alone": grid.effort.alone.epochs},
        },
        "rows": rows(runs), "runs": [run.record() for run in runs],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(runs, verdicts, grid.effort), {"generalization.png": figure(runs)})


def judged(runs: list[Run], seed: int) -> list[Judged]:
    """Return for each compression whether it generalizes better than weight decay, over sizes of the training set.

    The errors of a test sample are the mean over the seeds. The bootstrap is over test samples: it knows of no chance
    in what was trained on.
    """

    def curve(name: str, which: str) -> Curve:
        own = [run for run in runs if run.method == name]
        sizes = sorted({run.size for run in own})
        costs = [np.mean([getattr(run, which) for run in own if run.size == size], axis=0) for size in sizes]
        return Curve(np.array(sizes, np.float64), np.array(costs))

    decay, found = curve("weight decay", "errors"), list[Judged]()
    for method in METHODS:
        for which, rule in (("errors", "one standard error"), ("at_least", "the least error")):
            if method.technique is not None:
                text = f"{method.name}, by {rule}: lower test error than weight decay on small training sets"
                found.append(lower(text, "conjecture", curve(method.name, which), decay, seed))
    return found


RECIPES = (
    Recipe(
        "generalization",
        "small training sets: networks compressed by a number that validation selects, beside weight decay",
        _SOURCE,
        "nothing: built-in digits",
        "2 minutes on one core, 1 with --fast (100 samples alone)",
        _run,
    ),
)
