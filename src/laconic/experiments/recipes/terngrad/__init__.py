"""Gradients in few bits: accuracy and bytes of several workers, and how long a step would take on many machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.statement import Judged, growth
from laconic.experiments.recipes.terngrad.page import (
    FORMULA,
    GIGABITS,
    LATENCY,
    PUBLISHED,
    WORKERS,
    error_of,
    figure,
    modelled,
    page,
    rows,
)  # fmt: skip
from laconic.experiments.recipes.terngrad.runs import (
    ALL,
    FLOAT,
    POWERSGD,
    TERNGRAD,
    WAYS,
    Effort,
    Run,
    costs_of,
    run_of,
    task_of,
)  # fmt: skip
from laconic.experiments.recipes.verdict import Answer
from laconic.machines.timing import Measured, Network, step_seconds
from laconic.training.optimization import Optimization, cosine

_SOURCE = (
    "Wen, Xu, Yan, Wu, Wang, Chen & Li, TernGrad, NIPS 2017; beside it Alistarh et al., QSGD, NIPS 2017; Lin et al., "
    "Deep Gradient Compression, ICLR 2018; Vogels et al., PowerSGD, NeurIPS 2019"
)


@final
@dataclass(frozen=True)
class Grid:
    """What is run.

    Args:
        workers: of TernGrad.
        others: workers of the other codecs.
        real: how networks are trained on real data.
        digits: how on the digits of scikit-learn.
        times: how often each part of a step is timed.
    """

    workers: tuple[int, ...]
    others: int
    real: tuple[Effort, ...]
    digits: Effort
    times: int


GRID = Grid(
    (1, 2, 4, 8), 4,
    (
        Effort("lenet5", "mnist", Optimization(4, 0.02, cosine), 64, 0.3),
        Effort("lenet5", "cifar10", Optimization(6, 0.02, cosine), 128, 1.0),
    ),
    Effort("lenet300", "digits", Optimization(15, 0.05, cosine), 64, 1.0),
    20,
)  # fmt: skip
"""Margins are about what TernGrad loses in print: 0.2 points of LeNet's accuracy, 0.9 of CifarNet's."""


def _run(context: Context) -> Outcome:
    """Train every network, read the test split once for each, time a step, and judge."""
    efforts = [one for one in GRID.real if holds(context.data_dir, one.data, _FILES[one.data])] or [GRID.digits]
    efforts = efforts[:1] if context.fast else efforts
    counts = GRID.workers[1:2] if context.fast else GRID.workers
    others = GRID.workers[1] if context.fast else GRID.others
    settings = [(way, ALL if way in (FLOAT, POWERSGD) else others) for way in WAYS if way != TERNGRAD]
    settings += [(TERNGRAD, count) for count in counts]
    parts, verdicts, figures = [], list[Judged](), {}
    for at, effort in enumerate(efforts):
        own = context.part(at / len(efforts), (at + 1) / len(efforts))
        costs, runs, steps = costs_of(effort, own, GRID.times), list[Run](), len(settings)
        for place, (way, workers) in enumerate(settings):
            runs.append(run_of(way, workers, effort, own.part(place / steps, (place + 1) / steps)))
        numbers = sum(leaf.numel() for leaf in task_of(effort, own).module.parameters())
        parts.append((effort, runs, costs, numbers))
        verdicts += judged(runs, effort, context.seed) + modelled_claims(costs, effort)
        title = f"A step of {effort.net} on {effort.data}, {effort.batch} samples a worker: model of the time"
        figures[f"terngrad-{effort.data}.png"] = figure(costs, title)
    record = {
        "recipe": "terngrad", "source": _SOURCE, "formula": FORMULA, "latency": LATENCY, "published": PUBLISHED,
        "networks": [
            {
                "network": f"{effort.net} {effort.data}", "numbers": numbers,
                "settings": {"epochs": effort.how.epochs, "lr": effort.how.lr, "batch": effort.batch},
                "rows": rows(runs, numbers), "model": modelled(costs),
            }
            for effort, runs, costs, numbers in parts
        ],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(parts, verdicts, list(figures)), figures)


_FILES = {"mnist": "train-images*", "cifar10": "data_batch_1*"}


def judged(runs: Sequence[Run], effort: Effort, seed: int) -> list[Judged]:
    """Return of each way whether it is as accurate as float32.

    It is where the interval of the difference ends below the margin of the network, and is not where it begins above 0.
    """
    whole, found = error_of(runs, FLOAT, ALL), list[Judged]()
    for run in runs:
        if run.way == FLOAT:
            continue
        low, high, words = growth(whole, run.wrong, seed)
        answer: Answer = "holds" if high < effort.margin else "does not hold" if low > 0 else "undecided"
        who = f"of {run.workers} worker{'s' * (run.workers > 1)}" if run.workers else "of any number of workers"
        text = f"{effort.net} on {effort.data}: {run.way} {who} is within {effort.margin:g} points of error of float32"
        place = "0.9 points lost at most, some gained" if run.way == TERNGRAD else "no loss, on other networks"
        found.append(Judged(text, place, answer, words))
    return found


def modelled_claims(costs: Mapping[str, Measured], effort: Effort) -> list[Judged]:
    """Return of each link whether the model has a step with TernGrad shorter than with floats, at any N and at most."""
    found = []
    for gigabits in GIGABITS:
        link = Network(gigabits * 1e9 / 8, LATENCY)
        several = [n for n in WORKERS if n > 1]
        ratios = {n: step_seconds(costs[FLOAT], link, n) / step_seconds(costs[TERNGRAD], link, n) for n in several}
        ahead = [n for n, ratio in ratios.items() if ratio > 1]
        answer: Answer = "holds" if len(ahead) == len(several) else "does not hold"
        words = ", ".join(f"N = {n}: {ratio:.2f}" for n, ratio in ratios.items() if n in (2, 8, 64, 512))
        found.append(
            Judged(
                f"{effort.net} on {effort.data}, by the model: with TernGrad a step is shorter than with float32 for "
                f"any 2 to {max(several)} workers at {gigabits} Gbit/s",
                "faster on up to 512 machines, the more the slower their links", answer, f"times as fast: {words}",
            )
        )  # fmt: skip
    return found


RECIPES = (
    Recipe(
        "terngrad",
        "gradients in few bits: accuracy, bytes, and a model of the time, for TernGrad, QSGD, DGC and PowerSGD",
        _SOURCE,
        "mnist and cifar10 in --data-dir; runs on built-in digits without",
        "an hour on one core (--fast: ten minutes, MNIST alone); seconds on digits",
        _run,
    ),
)
