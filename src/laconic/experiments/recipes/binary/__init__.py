"""Weights of one bit and of three values: BinaryConnect, BNN and TTQ beside LC binarization, at equal epochs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from laconic.errors import DataError
from laconic.experiments.recipes.binary import page
from laconic.experiments.recipes.binary.claims import judged
from laconic.experiments.recipes.binary.methods import FAST, METHODS, RATES
from laconic.experiments.recipes.binary.runs import Row, Seed, chosen
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.lc_curves.networks import LENETS, RESNETS
from laconic.experiments.recipes.lc_curves.settings import Effort, learning
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.subject import Subject

_SOURCE = (
    "Courbariaux, Bengio & David, BinaryConnect, NIPS 2015; Hubara et al., Binarized neural networks, NIPS 2016; Zhu, "
    "Han, Mao & Dally, Trained ternary quantization, ICLR 2017; Carreira-Perpiñán, the LC papers, 2017, and slides"
)
_SEEDS = 3
_FAST_RATES = RATES[2:4]

Chosen = Sequence[tuple[Subject, Effort, str, int]]
"""Networks that are run, with how, the name of the data, and for how many seeds."""


def _run(name: str, choose: Callable[[Context], Chosen], context: Context) -> Outcome:
    """Train by every method, choose its rate on the first seed, and judge, network by network."""
    nets, shown, record, figures = choose(context), page.title(), dict[str, Any](), dict[str, Any]()
    for number, (subject, effort, data, seeds) in enumerate(nets):
        part = context.part(number / len(nets), (number + 1) / len(nets))
        rows, rates = _rows(subject, effort, data, 1 if context.fast else seeds, part)
        verdicts, picture = judged(rows, rates, context.seed), f"{subject.net}-binary.png"
        label = f"{subject.title}, {data}"
        shown += page.network(label, subject.net, effort, rows, rates, verdicts, picture)
        figures[picture] = page.figure(rows, rates, label)
        record[subject.net] = {
            "data": data, "settings": effort.record(), "rates": rates, "rows": [row.record() for row in rows],
            "verdicts": [one.record() for one in verdicts],
        }  # fmt: skip
    return Outcome({"recipe": name, "source": _SOURCE, "networks": record}, "\n".join(shown) + "\n", figures)


def _rows(
    subject: Subject, effort: Effort, data: str, seeds: int, context: Context
) -> tuple[list[Row], dict[str, float]]:  # fmt: skip
    """Return the rows of a network, those of the first seed at every rate, and the rate of each method."""
    names, tried = (FAST, _FAST_RATES) if context.fast else (tuple(METHODS), RATES)
    runs, rows, rates = [(name, rate) for name in names for rate in tried], list[Row](), dict[str, float]()
    whole, done = len(runs) + (seeds - 1) * len(names), 0
    for seed in range(context.seed, context.seed + seeds):
        one = Seed.of(subject, effort, data, seed, context.part(done / whole, (done + len(runs)) / whole))
        rows += [one.reference(), *one.rows(runs)]
        done, rates = done + len(runs), rates or chosen(rows)
        runs = list(rates.items())
    return rows, rates


def _lenets(context: Context) -> Chosen:
    """Return the LeNets; on digits, where there is no MNIST, the one that these are large enough for."""
    if holds(context.data_dir, "mnist", "train-images*"):
        return [(one.subject, one.full, "mnist", _SEEDS) for one in (LENETS[:1] if context.fast else LENETS)]
    (subject, small) = LENETS[0].subject, LENETS[0].small
    assert small is not None, "its inputs are of any size"
    return [(subject, replace(small, learning=learning(40, 1, 20, mu=1e-3, growth=1.15, lr=0.1)), "digits", _SEEDS)]


def _resnet(context: Context) -> Chosen:
    """Return the published ResNet-20, at the scale of a processor.

    Raises:
        DataError: when there is no folder of data.
    """
    (subject, small) = RESNETS[0].subject, RESNETS[0].small
    if context.data_dir is None:
        raise DataError(
            f"binary-resnet20 needs CIFAR-10 and {subject.weights}: name the folder that holds cifar10/ by "
            "--data-dir DIR"
        )
    assert small is not None, "a processor can run it"
    return [(subject, small, "cifar10", 1)]


RECIPES = (
    Recipe(
        "binary",
        "weights of one bit and of three values: BinaryConnect, BNN and TTQ beside LC, on both LeNets",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "three and a half hours on one core (98 runs of 60 epochs); --fast: LeNet-300-100 alone, ten minutes",
        partial(_run, "binary", _lenets),
    ),
    Recipe(
        "binary-resnet20",
        "the same on ResNet-20 at scale small: 28 epochs of 10,000 images each, one seed",
        _SOURCE,
        f"cifar10 in --data-dir, and {RESNETS[0].subject.weights} there",
        "eight hours on one core (35 runs), an hour with --fast",
        partial(_run, "binary-resnet20", _resnet),
    ),
)
