"""The LC algorithm's error-compression curves: quantization and pruning, beside direct compression and retraining.

Source: Carreira-Perpiñán, "Model compression as constrained optimization, with application to neural nets" (slides),
of Parts I to III and of Carreira-Perpiñán & Idelbayev, CVPR 2018.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.lc_curves import page
from laconic.experiments.recipes.lc_curves.claims import judged
from laconic.experiments.recipes.lc_curves.figure import curves
from laconic.experiments.recipes.lc_curves.measurements import Network, measured
from laconic.experiments.recipes.lc_curves.networks import LENETS, RESNETS, Curves
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.reference import seconds_of

_SOURCE = (
    "Carreira-Perpiñán & Idelbayev, Model compression as constrained optimization, Parts I to III, 2017 to 2018, and "
    "slides"
)

Chosen = Sequence[tuple[Curves, Effort, str]]
"""Networks that are run, with how, and the name of the data."""


def _run(name: str, choose: Callable[[Context], Chosen], context: Context) -> Outcome:
    """Train, compress and judge, network by network."""
    chosen, shown, record, figures = choose(context), page.title(), dict[str, Any](), dict[str, Any]()
    for number, (one, effort, data) in enumerate(chosen):
        network = _network(one, effort, data, context.part(number / len(chosen), (number + 1) / len(chosen)))
        rows, scale = measured(network), "small" if effort is one.small else "full"
        verdicts, figure = judged(network, rows, one.losses), f"{one.subject.net}-lc.png"
        label = f"{data}, scale {scale}" if data == "cifar10" else data
        shown += page.network(network, label, rows, verdicts, figure)
        figures[figure] = curves(rows, f"{network.title}, {label}")
        images, seconds = network.reference
        record[one.subject.net] = {
            "data": data, "scale": scale, "settings": effort.record(),
            "reference": {"images": images, "seconds": seconds},
            "rows": [row.record() for row in rows], "verdicts": [verdict.record() for verdict in verdicts],
        }  # fmt: skip
    return Outcome({"recipe": name, "source": _SOURCE, "networks": record}, "\n".join(shown) + "\n", figures)


def _network(one: Curves, effort: Effort, data: str, context: Context) -> Network:
    """Return a network with its reference, trained once in the life of the folder or a published one."""
    subject, before, key = one.subject, effort.before, one.subject.net
    whole, params = prepared(subject, data, before, context.seed, key, context.part(0.0, 0.1))
    task, _ = prepared(subject, data, effort.rows, context.seed, key, context)
    seen = effort.seen or (before.reference.epochs if before.reference else 0) * whole.count("train") * before.batch
    reference = seen, seconds_of(context, key)
    return Network(subject.title, task, params, reference, effort, context.part(0.1, 1.0))


def _lenets(context: Context) -> Chosen:
    """Return the LeNets; on digits, where there is no MNIST, the one that these are large enough for."""
    if holds(context.data_dir, "mnist", "train-images*"):
        return [(one, one.full, "mnist") for one in (LENETS[:1] if context.fast else LENETS)]
    return [(one, one.small, "digits") for one in LENETS if one.small is not None]


def _resnets(context: Context) -> Chosen:
    """Return the residual networks whose weights there are, and VGG-16; of the small scale ResNet-20 alone.

    Raises:
        DataError: when data or weights are missing.
    """
    if context.data_dir is None:
        raise DataError(
            f"lc-resnets needs CIFAR-10 and {RESNETS[0].subject.weights}: name the folder that holds cifar10/ by "
            "--data-dir DIR"
        )
    if not (context.train or torch.cuda.is_available()):
        return [(one, one.small, "cifar10") for one in RESNETS[:1] if one.small is not None]
    there = [one for one in RESNETS if not one.subject.weights or (context.data_dir / one.subject.weights).is_file()]
    return [(one, one.full, "cifar10") for one in there]


RECIPES = (
    Recipe(
        "lc-lenets",
        "quantization and pruning by LC: curves of error against K, P and ρ of both LeNets",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "an hour and a half on one core (--fast: LeNet-300-100 alone, half an hour)",
        partial(_run, "lc-lenets", _lenets),
    ),
    Recipe(
        "lc-resnets",
        "the same of ResNets on CIFAR-10, and of VGG-16 with 2 values a layer",
        _SOURCE,
        f"cifar10 in --data-dir, and {RESNETS[0].subject.weights} there (32, 56 and 110 likewise)",
        "two hours on one core (ResNet-20, small scale); days with a GPU, or --train",
        partial(_run, "lc-resnets", _resnets),
    ),
)
