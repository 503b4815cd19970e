"""Deep Compression, its own pipeline and its own tables: trained on the LeNets, counted for AlexNet and VGG-16."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from laconic.experiments.recipes.deep_compression import page
from laconic.experiments.recipes.deep_compression.claims import judged
from laconic.experiments.recipes.deep_compression.figures import curves, distributions
from laconic.experiments.recipes.deep_compression.pipeline import Effort, Subject, costs, layers_of, sizes, stages
from laconic.experiments.recipes.deep_compression.printed import ALEXNET, LENET5, LENET300, VGG16, Network
from laconic.experiments.recipes.deep_compression.sweep import methods, starts
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records import mnist
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.subject import Subject as Recorded
from laconic.experiments.recipes.reference import shortened
from laconic.experiments.recipes.statement import percent
from laconic.insight.compression_statistics import by_chance
from laconic.insight.deep_compression import Account

_SOURCE = "Han, Mao & Dally, Deep Compression, ICLR 2016"

_NETWORKS: Mapping[str, tuple[Network, Recorded, Effort]] = {
    "lenet300": (LENET300, mnist.LENET300, Effort(pruned=60, shared=15, sweep=10, images=12_800, rounds=3)),
    "lenet5": (LENET5, mnist.LENET5, Effort(pruned=15, shared=8, sweep=8, images=12_800)),
}
_DIGITS = Effort(pruned=30, shared=20, sweep=10, images=1_280)
_HALF = 0.005
"""Within which the print rounds shares."""


def _run(context: Context) -> Outcome:
    """Train, prune, share and code the networks there are data for, and count the others."""
    there = holds(context.data_dir, "mnist", "train-images*")
    names = [name for name in _NETWORKS if there or name == "lenet300"]
    names = names[:1] if context.fast else names
    shown, record, figures = page.title(), dict[str, Any](), dict[str, Any]()
    for number, name in enumerate(names):
        part = context.part(0.9 * number / len(names), 0.9 * (number + 1) / len(names))
        lines, record[name], own = _trained(name, "mnist" if there else "digits", part)
        shown, figures = shown + lines, figures | own
    context.say(0.9, "counting AlexNet and VGG-16")
    layers = [(network, _by_chance(network, context.seed)) for network in (ALEXNET, VGG16)]
    shown += page.counted(layers)
    counted = {
        network.title: _table(network, [one for one, _, _ in own]) for network, own in layers
    }  # fmt: skip
    whole = {"recipe": "deep-compression", "source": _SOURCE, "networks": record, "counted": counted}
    return Outcome(whole, "\n".join(shown) + "\n", figures)


def _trained(name: str, data: str, context: Context) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Return the part of the page on a network, its record, and its figures."""
    printed, recorded, effort = _NETWORKS[name]
    before = recorded.full if data == "mnist" else recorded.small
    assert before is not None, "of the digits there is LeNet-300-100 alone"
    effort = effort if data == "mnist" else _DIGITS
    task, params = prepared(recorded, data, before, context.seed, name, context.part(0.0, 0.1))
    few = shortened(task, effort.images, before.batch)
    subject = Subject(printed, task, params, effort, context.part(0.1, 0.3))
    reached = stages(subject)
    swept = replace(subject, task=few)
    points = methods(replace(swept, context=context.part(0.3, 0.7)))
    kmeans = starts(replace(swept, context=context.part(0.7, 1.0)), reached[1])
    verdicts = judged(reached, points, kmeans, context.seed)
    names = f"{name}-distributions.png", f"{name}-curves.png"
    lines = page.network(subject, data, reached, verdicts, [*points, *kmeans], names)
    record = {
        "data": data, "epochs": vars(effort),
        "stages": [
            {"stage": one.name, "error": percent(one.errors), "validation": one.validation, "bytes": sizes(one)}
            for one in reached
        ],
        "costs": dict(zip(("huffman", "relative indices"), costs(reached[-1]), strict=True)),
        "layers": _table(printed, layers_of(reached[-1])),
        "points": [point.record() for point in (*points, *kmeans)], "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    reference = percent(reached[0].errors)
    drawn = distributions(subject, reached[-1]), curves(subject, points, kmeans, reference)
    return lines, record, dict(zip(names, drawn, strict=True))


def _by_chance(network: Network, seed: int) -> list[tuple[Account, Account, Account]]:
    """Return the account of each layer, and of half a percent fewer and more survivors."""
    return [
        tuple(  # type: ignore[misc]
            by_chance(layer.weights, layer.kept / 100 + more, layer.bits, layer.coded, layer.index, seed)
            for more in (0.0, -_HALF, _HALF)
        )
        for layer in network.layers
    ]


def _table(network: Network, layers: Sequence[Account]) -> list[dict[str, Any]]:
    """Return a table as JSON says it."""
    return [{"layer": layer.name, **one.record()} for layer, one in zip(network.layers, layers, strict=True)]


RECIPES = (
    Recipe(
        "deep-compression",
        "prune, train, share, train, Huffman: Deep Compression's tables and figures",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "40 minutes on one core, 10 with --fast (LeNet-300-100 alone)",
        _run,
    ),
)
