"""Lottery tickets, their controls, LC at their densities, and small networks from scratch: accuracy, steps, bytes."""

from collections.abc import Callable

import torch

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.lottery.claims import judged
from laconic.experiments.recipes.lottery.page import figures, means, page
from laconic.experiments.recipes.lottery.runs import Row, Seed
from laconic.experiments.recipes.lottery.settings import (
    CONV2,
    CONV2_PUBLISHED,
    DIGITS,
    FAST_CONV2,
    PUBLISHED,
    SHORT,
    Effort,
)
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.models import data, nets
from laconic.training.task import classification

_SOURCE = (
    "Frankle & Carbin, The lottery ticket hypothesis: finding sparse, trainable neural networks, ICLR 2019; Liu, Sun, "
    "Zhou, Huang & Darrell, Rethinking the value of network pruning, ICLR 2019"
)

Chosen = Callable[[Context], tuple[Effort, str]]
"""Context → what is run, and on which data."""


def _run(context: Context, name: str, chosen: Chosen) -> Outcome:
    """Train every network, read the test split once for each time that is reported, and judge."""
    effort, data_name = chosen(context)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ready = data.load(data_name, context.data_dir, nets.preprocessing_of(effort.net, data_name)).to(device)
    context.say(0.0, f"{effort.networks} networks of {effort.steps:,} steps")
    rows = list[Row]()
    for at in range(effort.seeds):
        seed = context.seed + at
        module = nets.build(effort.net, ready.shape, ready.classes, seed).to(device)
        notes = nets.identity(effort.net, data_name, ready.preprocessing)
        task = classification(module, ready, notes, batch=effort.batch, evaluation_batch=1000)
        rows += Seed.of(task, effort, seed, context.part(at / effort.seeds, (at + 1) / effort.seeds)).rows()
    verdicts = judged(rows, effort.printed, context.seed)
    shown = figures(rows, f"{effort.title}, {data_name}")
    record = {
        "recipe": name, "source": _SOURCE, "network": f"{effort.net} {data_name}", "settings": effort.record(),
        "threads": torch.get_num_threads(), "means": means(rows), "rows": [row.record() for row in rows],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(rows, verdicts, effort, data_name, list(shown)), shown)


def _lenet(context: Context) -> tuple[Effort, str]:
    """Return the protocol in print with --train, a quarter of its steps without, and a look on digits with --fast."""
    if context.fast or not holds(context.data_dir, "mnist", "train-images*"):
        return DIGITS, "digits"
    return (PUBLISHED if context.train else SHORT), "mnist"


def _conv2(context: Context) -> tuple[Effort, str]:
    """Return the small scale, or the protocol in print with --train or a GPU.

    Raises:
        DataError: without CIFAR-10.
    """
    if context.data_dir is None:
        raise DataError("lottery-conv2 needs CIFAR-10 in a folder: give --data-dir DIR")
    full = (context.train or torch.cuda.is_available()) and not context.fast
    return (CONV2_PUBLISHED if full else FAST_CONV2 if context.fast else CONV2), "cifar10"


RECIPES = (
    Recipe(
        "lottery",
        "lottery tickets of LeNet-300-100, their controls, LC at the same densities, and small networks from scratch",
        _SOURCE,
        "mnist in --data-dir; a look on built-in digits without",
        "an hour on one core, seconds with --fast; 11 hours with --train, the protocol in print",
        lambda context: _run(context, "lottery", _lenet),
    ),
    Recipe(
        "lottery-conv2",
        "lottery tickets of Conv-2, one-shot, and their controls",
        _SOURCE,
        "cifar10 in --data-dir",
        "an hour and a half on one core; hours with a GPU, or --train",
        lambda context: _run(context, "lottery-conv2", _conv2),
    ),
)
