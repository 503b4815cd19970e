"""A manifold through a ReLU: what figure 1 of MobileNetV2 shows of one matrix, measured over many."""

from functools import partial

import numpy as np
import torch

from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.manifold.claims import judged
from laconic.experiments.recipes.manifold.embedding import LINEAR, MEASURES, RELU, drawn, spiral, through
from laconic.experiments.recipes.manifold.page import figure, page, rows
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.interrupts import check

_SOURCE = (
    "Sandler, Howard, Zhu, Zhmoginov & Chen, MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018, "
    "figure 1 and section 3.2"
)
DIMENSIONS = (2, 3, 5, 15, 30)
_DRAWS, _FEW = 1000, 100


def _run(context: Context) -> Outcome:
    """Measure every dimension, and judge."""
    draws, measured = _FEW if context.fast else _DRAWS, dict[tuple[int, str], np.ndarray]()
    for place, n in enumerate(DIMENSIONS):
        context.say(place / len(DIMENSIONS), f"{n} dimensions, {draws} matrices")
        _, kept = context.cache.point(f"n={n}", partial(_measured, n, context.seed, draws))
        measured |= {(n, layer): values.numpy() for layer, values in kept.items()}
    found, verdicts = rows(measured, context.seed), judged(measured, context.seed)
    record = {
        "recipe": "manifold", "source": _SOURCE, "settings": {"dimensions": list(DIMENSIONS), "draws": draws},
        "rows": found, "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    text = page(found, verdicts, draws, context.seed)
    return Outcome(record, text, {"manifold.png": figure(found, context.seed)})


def _measured(n: int, seed: int, draws: int) -> Point:
    """Return the measures of each draw with either layer, shape (draws, measures)."""
    points, found = spiral(), {layer: np.empty((draws, len(MEASURES))) for layer in (RELU, LINEAR)}
    for draw in range(draws):
        check()
        matrix = drawn(n, seed, draw)
        for layer, values in found.items():
            way = through(points, matrix, layer)
            values[draw] = [getattr(way, name) for name in MEASURES]
    return {}, {layer: torch.from_numpy(values) for layer, values in found.items()}


RECIPES = (
    Recipe(
        "manifold",
        "a spiral through a random layer with and without a ReLU: what collapses, in 2 to 30 dimensions",
        _SOURCE,
        "nothing",
        "half a minute (--fast: seconds)",
        _run,
    ),
)
