"""Figures of what people look at: files beside the least bits, what weights do to the outputs, the path of a run."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from laconic.calibrate.analysis import Weight
from laconic.lc.schedule import Progress

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


def path_figure(history: Sequence[Progress]) -> bytes:
    """Return a PNG of a path of the LC algorithm: loss, gap and, within a budget, the validation error by step.

    Args:
        history: the steps.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    steps = [one.step for one in history]
    upper.plot(steps, [one.loss for one in history], color="tab:orange", label="loss of the L step")
    upper.plot(steps, [one.gap for one in history], color="tab:green", label="gap ‖w − Δ(Θ)‖ / ‖w‖")
    upper.set(yscale="log")
    upper.legend()
    for measure in dict.fromkeys(name for one in history for name in one.validation or {}):
        points = [
            (one.step, one.validation[measure]) for one in history if one.validation and measure in one.validation
        ]
        lower.plot(*zip(*points, strict=True), label=f"validation {measure}")
    lower.plot(steps[1:], [one.mu for one in history[1:]], color="grey", lw=0.8, label="μ")
    lower.set(xlabel="LC step", yscale="log")
    lower.legend()
    for axes in (upper, lower):
        axes.grid(visible=True, which="both", lw=0.3)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    """Return the bytes of a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
