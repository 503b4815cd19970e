"""What pruning finds: which inputs and neurons ℓ1 leaves, and what the weights of first-layer neurons look like."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.pruning_finds.claims import PRINTED, judged
from laconic.experiments.recipes.pruning_finds.figures import chosen_neurons, inputs, neurons
from laconic.experiments.recipes.pruning_finds.looks import Look, look_at
from laconic.experiments.recipes.pruning_finds.page import page
from laconic.experiments.recipes.pruning_finds.runs import (
    kept_largest,
    magnitude,
    reference,
    similar,
    within_balls,
)
from laconic.experiments.recipes.pruning_finds.subject import KEPT, Effort, Subject
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.subject import Effort as Trained
from laconic.experiments.recipes.records.subject import Subject as Recorded
from laconic.lc.learning import Training
from laconic.training.optimization import Optimization, cosine

_SOURCE = (
    "Carreira-Perpiñán & Idelbayev, Learning-compression algorithms for neural net pruning, CVPR 2018; slides of "
    "Carreira-Perpiñán, Model compression as constrained optimization, pruning: experiments"
)


def _trained(epochs: int, batch: int) -> Trained:
    """Return how the reference is trained."""
    how = Optimization(epochs, 0.1, cosine)
    return Trained(how, (), Training(), 1, "SGD, Nesterov momentum 0.9, half a cosine", batch)


NETWORK = Recorded(
    net="lenet300-tanh", title="LeNet-300-100", data="mnist", forward=None, published=(), aims=(),
    full=_trained(40, 256), small=_trained(60, 64),
)  # fmt: skip
"""The network of the authors' toolkit, which has tanh; trained here."""

MNIST = Effort(
    steps=20, epochs=3, mu=9e-5, growth=1.21, lr=0.1, decay=0.96, retrained=15, shown=(4, 8, 12, 16),
    shares=(0.05, 0.07, 0.1),
)  # fmt: skip
"""The ends of the path of μ of the authors' toolkit, 9e-5 to 3.4e-3, in half as many steps, and its learning rate."""

DIGITS = replace(MNIST, epochs=5, mu=6e-4, shares=(0.07, 0.1, 0.2))
"""Seven times fewer batches in an L step, and μ so much higher."""


def _run(context: Context) -> Outcome:
    """Train, prune three ways, look at what is left, and judge."""
    there = holds(context.data_dir, "mnist", "train-images*")
    data, trained, effort = ("mnist", NETWORK.full, MNIST) if there else ("digits", NETWORK.small, DIGITS)
    assert trained is not None, "of the digits there is a network, too"
    effort = replace(effort, shares=effort.shares[1:2]) if context.fast else effort
    task, params = prepared(NETWORK, data, trained, context.seed, NETWORK.net, context.part(0.0, 0.1))
    subject = Subject(task, params, effort, context)
    before, count = reference(subject), len(effort.shares) + 2
    steps = [0.1 + 0.75 * number / count for number in range(count + 1)]
    l0 = kept_largest(subject.part(steps[0], steps[1]))
    by_size = magnitude(subject.part(steps[1], steps[2]))
    balls = within_balls(subject.part(steps[2], steps[-1]))
    l1 = similar(balls, before)
    seen = look_at(subject.part(0.85, 1.0), [before, *l0.networks, by_size.last, *l1.networks])
    ends = [look for look in seen if look.network in (l0.networks[0], *l0.networks[-2:], by_size.last, l1.last)]
    verdicts = judged(before, l1.last, l0.last, ends, context.seed)
    drawn, runs = _figures(seen, len(l0.networks)), (*balls, l0, by_size)
    record = {
        "recipe": "pruning-finds", "source": _SOURCE, "network": f"{NETWORK.net} {data}",
        "settings": {
            "reference": trained.record()["reference"], "batch": trained.batch, "kept": KEPT, **vars(effort),
        },
        "published": {"widths": list(PRINTED)},
        "networks": [one.record() for one in (before, *(one for run in runs for one in run.networks))],
        "paths": {run.name: list(run.path) for run in runs}, "judged": l1.name,
        "joins": [look.record() for look in seen], "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(data, effort, before, runs, l1.name, seen, verdicts, list(drawn)), drawn)


def _figures(seen: Sequence[Look], count: int) -> Mapping[str, Figure]:
    """Return the figures: of the reference, so many networks of LC, and then those of the other runs.

    Magnitude pruning begins with what LC begins with: the largest weights of the reference.
    """
    start, lc, (retrained, *l1) = seen[0], seen[1 : 1 + count], seen[1 + count :]
    chosen = chosen_neurons([lc[-1].images, retrained.images])
    return {
        "pruning-neurons-lc.png": neurons([start, *lc], chosen, f"LC, ℓ0, P = {100 * KEPT:g} %"),
        "pruning-neurons-magnitude.png": neurons([start, lc[0], retrained], chosen, f"magnitude, P = {100 * KEPT:g} %"),
        "pruning-neurons-l1.png": neurons([start, *l1], chosen_neurons([l1[-1].images]), l1[-1].network.run),
        "pruning-inputs.png": inputs([lc[-1], retrained, l1[-1]]),
    }


RECIPES = (
    Recipe(
        "pruning-finds",
        "what is left of LeNet-300-100 by ℓ1 pruning, and what first-layer neurons look like at P = 5 %",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "10 minutes on one core, 6 with --fast (one ℓ1 radius)",
        _run,
    ),
)
