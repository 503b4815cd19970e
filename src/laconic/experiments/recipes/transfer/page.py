"""What is shown: a row for each way, pictures of the other data, and which way is better at the same bytes."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from laconic.experiments.recipes.bootstrap import interval, over_seeds
from laconic.experiments.recipes.statement import Judged, lies_below, percent, table
from laconic.experiments.recipes.transfer.running import Row
from laconic.experiments.recipes.transfer.subject import KNOWLEDGE, NETWORK, SIZE, WAYS, Budget
from laconic.experiments.recipes.verdict import DRAWS, LEVEL

_HOW = f"""\
Three ways to get what LeNet-300-100 knows of MNIST into {SIZE:,} bytes. Network transfer compresses the teacher itself.
Knowledge transfer teaches a smaller network, on the same images, what the teacher says of them, and compresses that.
Data transfer does the same on other images, of which there are no labels. Each file is by LC within the size, with the
same settings and as many batches, from the same loss: labels, where there are any, and the teacher's softened outputs.
What the teacher makes up meets mean and deviation of each of its first neurons, recorded on the training images, and
labels that were drawn. What is chosen is chosen on held-out images of the same kind; test images are read once for what
is compressed and once for a file."""

COMPARED = (
    ("knowledge transfer", "network transfer"),
    *((way.name, "knowledge transfer") for way in WAYS if way not in (NETWORK, KNOWLEDGE)),
    ("data transfer, digits", "data transfer, noise"),
    ("data transfer, generated", "data transfer, noise"),
    ("data transfer, generated", "data transfer, digits"),
)
"""(better, worse): every pair that a claim could be made of."""


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return for each pair whether the first has the lower error, by a bootstrap over seeds and test images."""
    found = list[Judged]()
    for better, worse in COMPARED:
        one, other = (np.array([row.errors for row in rows if row.way == name]) for name in (better, worse))
        if not len(one) or not len(other):
            continue
        gaps = (one - other).T
        (low,), (high,) = 100 * np.array(interval(over_seeds(gaps, DRAWS, np.random.default_rng(seed)), LEVEL))
        words = f"{100 * gaps.mean():+.2f} points, {low:+.2f} to {high:+.2f} with 95 %"
        text = f"{better}: lower test error than {worse}, in {SIZE:,} bytes"
        found.append(Judged(text, "slides: the ways, without figures", lies_below(low, high), words))
    return found


def page(rows: Sequence[Row], verdicts: Sequence[Judged], budget: Budget, about: str, images: Sequence[str]) -> str:
    """Return the page."""
    settings = ", ".join(f"{key} {value}" for key, value in budget.record().items())
    lines = [
        "# Transfer of networks, of knowledge, and by other data", "", *_HOW.split("\n"), "", f"{about}", "",
        f"Settings: {settings}.", "", *(f"![{name}]({name})\n" for name in images), *table(verdicts), "",
        "| way | what | bytes | test error, % | by seed | before it is compressed, % |", "|---|---|---:|---:|---|---:|",
    ]  # fmt: skip
    for way in WAYS:
        own = [row for row in rows if row.way == way.name]
        if not own:
            continue
        errors = [percent(row.errors) for row in own]
        spread = f" ± {stdev(errors):.2f}" if len(errors) > 1 else ""
        cells = (
            way.name, way.said, f"{fmean(row.file_bytes for row in own):,.0f}", f"{fmean(errors):.2f}{spread}",
            ", ".join(f"{one:.2f}" for one in errors), f"{fmean(row.before for row in own):.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def errors_figure(rows: Sequence[Row], data: str) -> Figure:
    """Return the test error of each way: seeds as dots, and their mean."""
    drawn = Figure(figsize=(7, 3.2), layout="constrained")
    axes, names = drawn.subplots(), list(dict.fromkeys(row.way for row in rows))
    for place, name in enumerate(names):
        errors = [percent(row.errors) for row in rows if row.way == name]
        axes.plot(errors, [place] * len(errors), "o", color="tab:blue", alpha=0.5)
        axes.plot([fmean(errors)], [place], "|", color="black", ms=16)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xscale="log", xlabel="test error, %", title=f"{data}: files of {SIZE:,} bytes")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", lw=0.3)
    return drawn


def images_figure(inputs: Mapping[str, Tensor]) -> Figure:
    """Return the first ten images of each kind, one kind a row."""
    drawn = Figure(figsize=(8, 0.95 * len(inputs) + 0.3), layout="constrained")
    grid: Any = drawn.subplots(len(inputs), 10, squeeze=False)
    for line, (name, images) in zip(grid, inputs.items(), strict=True):
        for axes, image in zip(line, images[:10], strict=True):
            axes.imshow(image[0].numpy(), cmap="gray")
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(name, fontsize=8)
    return drawn
