"""What is shown of the manifold: the figure of the paper with what it measures, and a row for each dimension."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laconic.experiments.recipes.bootstrap import interval, resampled_means
from laconic.experiments.recipes.manifold.claims import Measured
from laconic.experiments.recipes.manifold.embedding import LINEAR, MEASURES, RELU, drawn, spiral, through
from laconic.experiments.recipes.statement import Judged, table
from laconic.experiments.recipes.verdict import DRAWS, LEVEL

_SHOWN = (("together", "pairs put together, %", 100.0), ("error", "relative error of the way back", 1.0))
_MARKS = {RELU: "o-", LINEAR: "s--"}


def rows(measured: Measured, seed: int) -> list[dict[str, Any]]:
    """Return means over the draws with their 95 % intervals, a row for each dimension and layer."""
    found = []
    for (n, layer), values in measured.items():
        low, high = interval(resampled_means(values, DRAWS, np.random.default_rng(seed)), LEVEL)
        row: dict[str, Any] = {"n": n, "layer": layer}
        for place, name in enumerate(MEASURES):
            ends = (values[:, place].mean(), low[place], high[place])
            row[name] = [round(float(end), 6) for end in ends]
        found.append(row)
    return found


def figure(found: Sequence[dict[str, Any]], seed: int) -> Figure:
    """Return the spiral, the way back of one T for each dimension with either layer, and measures over all draws."""
    points, numbers = spiral(), sorted({row["n"] for row in found})
    shown = Figure(figsize=(2.1 * (len(numbers) + 1), 7.6), layout="constrained")
    parts: Any = shown.subfigures(2, 1, height_ratios=(1.25, 1))
    upper, lower = parts
    panels = upper.subplots(2, len(numbers) + 1)
    for line, layer in zip(panels, (RELU, LINEAR), strict=True):
        _spiral(line[0], points, "input")
        for axes, n in zip(line[1:], numbers, strict=True):
            _spiral(axes, through(points, drawn(n, seed, 0), layer).back, f"{layer}, n = {n}")
    for axes, (name, label, times) in zip(lower.subplots(1, len(_SHOWN)), _SHOWN, strict=True):
        for layer, mark in _MARKS.items():
            mean, low, high = times * np.array([row[name] for row in found if row["layer"] == layer]).T
            axes.errorbar(numbers, mean, (mean - low, high - mean), fmt=mark, ms=4, capsize=3, label=layer)
        axes.set(xscale="log", xlabel="dimensions n", ylabel=label)
        axes.set_xticks(numbers, [str(n) for n in numbers])
        axes.minorticks_off()
        axes.grid(visible=True, lw=0.3)
        axes.legend(fontsize="small")
    return shown


def _spiral(axes: Axes, points: np.ndarray, title: str) -> None:
    """Draw points in the colours of their places along the spiral."""
    axes.plot(points[:, 0], points[:, 1], color="0.8", lw=0.6, zorder=0)
    axes.scatter(points[:, 0], points[:, 1], c=np.arange(len(points)), cmap="viridis", s=5)
    axes.set_title(title, fontsize=9)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])


def page(found: Sequence[dict[str, Any]], verdicts: Sequence[Judged], draws: int, seed: int) -> str:
    """Return the page."""
    lines = [
        "# A manifold through a ReLU", "",
        f"A spiral of {len(spiral())} points in the plane goes through a random matrix T into n dimensions, through a "
        "ReLU or nothing, and back by the pseudo-inverse of T. Means over "
        f"{draws:,} draws of T (seed {seed}), with 95 % intervals over draws.", "",
        "* together: pairs of points of which at most a hundredth of their distance is left, in n dimensions;",
        "* flat: points around which the layer writes no more than a line, since fewer than two units are active;",
        "* error: ‖x − s·x̂‖ / ‖x‖ of the way back x̂, with the best number s;",
        "* pieces: linear pieces of the layer that the spiral passes.", "",
        "| n | layer | together, % | flat, % | error | pieces |", "|---:|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in found:
        cells = (_cell(row[name], times) for name, times in zip(MEASURES, (100, 100, 1, 1), strict=True))
        lines.append(f"| {row['n']} | {row['layer']} | {' | '.join(cells)} |")
    lines += ["", "![the spiral, its ways back, and what is lost](manifold.png)", "", *table(verdicts), ""]
    return "\n".join(lines)


def _cell(ends: Sequence[float], times: float) -> str:
    """Return a mean and its interval."""
    mean, low, high = (times * end for end in ends)
    return f"{mean:.3g}" if low == high else f"{mean:.3g} ({low:.3g} to {high:.3g})"
