"""Figures of calibration: files beside the least bits at their quality, and what weights do to the outputs."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from laconic.calibrate.analysis import Weight

SHOWN = 30
"""Weights of a figure, the worst ones."""


def frontier_figure(
    files: Sequence[tuple[float, float, bool]], curve: Sequence[tuple[float, float]], unit: str
) -> bytes:
    """Return a PNG of files and R(D), distance against bits a weight.

    Args:
        files: bits a weight, distance, and whether it lies on the hull.
        curve: bits a weight and distance of R(D).
        unit: of the distance.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    if curve:
        axes.plot(*zip(*curve, strict=True), label="R(D), Gaussian")
    on, off = ([(bits, distance) for bits, distance, kept in files if kept == which] for which in (True, False))
    if on:
        axes.plot(*zip(*on, strict=True), "k.-", linewidth=0.8, label="files on the convex hull")
    if off:
        axes.plot(*zip(*off, strict=True), "x", color="tab:red", label="files above it")
    axes.set(xlabel="bits a weight, of the whole file", ylabel=unit, title="Files beside the bound")
    if any(distance > 0 for _, distance, _ in files):
        axes.set_yscale("log")
    axes.legend()
    return _png(figure)


def damage_figure(weights: Sequence[Weight], unit: str) -> bytes:
    """Return a PNG of what each weight by itself does to the outputs, measured and predicted, the worst at the top.

    Args:
        weights: the worst first.
        unit: of the distance.
    """
    shown = weights[:SHOWN][::-1]
    figure = Figure(figsize=(7, 1.5 + 0.22 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = range(len(shown))
    axes.plot([one.measured for one in shown], places, "o", color="tab:blue", label="measured")
    axes.plot([one.predicted for one in shown], places, "k|", markersize=10, label="predicted")
    axes.grid(axis="y", linewidth=0.3)
    axes.set_yticks(places, [one.name.replace("$", r"\$") for one in shown], fontsize=7)
    axes.set(xlabel=unit, title="What each weight by itself does to the outputs")
    if shown and min(min(one.measured, one.predicted) for one in shown) > 0:
        axes.set_xscale("log")
    axes.legend()
    return _png(figure)


def _png(figure: Figure) -> bytes:
    """Return the bytes of a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
