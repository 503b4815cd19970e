"""Weights of first-layer neurons as images, and how many weights read each pixel."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.pruning_finds.looks import Look

SHOWN = 8
"""Neurons in a figure."""


def chosen_neurons(ends: Sequence[np.ndarray]) -> list[int]:
    """Return the neurons to show: those with the most survivors in the run that leaves them fewest.

    Args:
        ends: images at the end of each run, shape (neurons, height, width).
    """
    fewest = np.min([np.count_nonzero(images, (1, 2)) for images in ends], axis=0)
    return sorted(np.argsort(-fewest, kind="stable")[:SHOWN].tolist())


def neurons(looks: Sequence[Look], chosen: Sequence[int], title: str) -> Figure:
    """Return the images of some neurons, one a row, along the way of a run.

    Args:
        looks: from the reference to the end, one a column.
        chosen: neurons, from 0.
        title: of the run.
    """
    limits = [_limit(look.images[list(chosen)]) for look in looks]
    height, width = looks[0].images.shape[1:]
    drawn = np.full((len(chosen), 1 + height, len(looks), 1 + width), np.nan)  # with a gap above and before each image
    for column, (look, limit) in enumerate(zip(looks, limits, strict=True)):
        drawn[:, 1:, column, 1:] = look.images[list(chosen)] / limit
    figure = Figure(figsize=(1.25 * len(looks) + 0.7, 1.25 * len(chosen) + 0.9), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("black")
    axes.imshow(drawn.reshape(len(chosen) * (1 + height), -1), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    titles = [f"{look.network.label}\n±{limit:.2g}" for look, limit in zip(looks, limits, strict=True)]
    axes.set_xticks((np.arange(len(looks)) + 0.5) * (1 + width), titles, fontsize=8)
    axes.set_yticks((np.arange(len(chosen)) + 0.5) * (1 + height), [f"neuron {one}" for one in chosen], fontsize=8)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.set_title(f"{title}\nred above 0, blue below", fontsize=9)
    return figure


def _limit(images: np.ndarray) -> float:
    """Return the size that all but a hundredth of the survivors keep within; what is larger has the last colour."""
    sizes = np.abs(images[images != 0])
    return float(np.quantile(sizes, 0.99)) if sizes.size else 1.0


def inputs(looks: Sequence[Look]) -> Figure:
    """Return how many weights read each pixel, one map a network; what none reads is white."""
    figure = Figure(figsize=(2.6 * len(looks), 2.9), layout="constrained")
    for axes, look in zip(figure.subplots(1, len(looks), squeeze=False)[0], looks, strict=True):
        counts = np.count_nonzero(look.images, 0).astype(np.float64)
        counts[counts == 0] = np.nan
        figure.colorbar(axes.imshow(counts, cmap="viridis"), ax=axes, shrink=0.7)
        axes.set_title(f"{look.network.run}, {look.network.label}", fontsize=8)
        axes.set(xticks=[], yticks=[])
    figure.suptitle("surviving weights that read each pixel", fontsize=9)
    return figure
