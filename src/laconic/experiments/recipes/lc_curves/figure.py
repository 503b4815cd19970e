"""The figures of the source: errors of quantization by K, of pruning by P, and of both by ρ."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from laconic.experiments.recipes.lc_curves.claims import number, of
from laconic.experiments.recipes.lc_curves.measurements import Row
from laconic.experiments.recipes.lc_curves.settings import METHODS
from laconic.experiments.recipes.statement import percent

_MOST, _ABOVE = 20.0, 1.6
"""Percent, and times the worst error by LC: beyond both nothing is shown."""

_MARKS = {"direct": "^:", "iDC": "s--", "magnitude": "s--", "LC": "o-"}


def curves(rows: Sequence[Row], title: str) -> Figure:
    """Return the figure of a network: by K, by P, and quantization beside pruning by ρ of the source's formula."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    ours = [*of(rows, "adaptive", "LC"), *of(rows, "pruning", "LC")]
    ticks: dict[Axes, set[float]] = {left: set(), middle: set(), right: set()}
    top = max([_MOST, *(_ABOVE * percent(row.errors) for row in ours)])

    def draw(axes: Axes, own: Sequence[Row], places: Sequence[float], mark: str, label: str, **how: Any) -> None:
        errors = [percent(row.errors) for row in own]
        if any(error <= top for error in errors):
            axes.plot(places, errors, mark, label=label, **how)
            ticks[axes].update(places)

    for method in METHODS["adaptive"]:
        own = of(rows, "adaptive", method)
        draw(left, own, [number(row) for row in own], _MARKS[method], method)
    for scaled, mark in ((False, "x"), (True, "+")):
        fixed = [row for row in of(rows, "fixed", "LC") if row.setting and row.setting.scaled == scaled]
        name = f"fixed values{' and a scale' if scaled else ''}, LC"
        draw(left, fixed, [number(row) for row in fixed], f"k{mark}", name)
    through = of(rows, "binary", "BinaryConnect")
    draw(left, through, [number(row) for row in through], "k*", "±H in training, BinaryConnect")
    for method in METHODS["pruning"]:
        own, alpha = of(rows, "pruning", method), 1.0 if method == "LC" else 0.5
        draw(middle, own, [100 * number(row) for row in own], _MARKS[method], method, color="tab:red", alpha=alpha)
    for name, family, colour in (("quantization", "adaptive", "tab:blue"), ("pruning", "pruning", "tab:red")):
        own = of(rows, family, "LC")
        draw(right, own, [row.figures["rho"] for row in own], "o-", name, color=colour)
    for axes, said in ((left, "values a codebook has, K"), (middle, "weights that are kept, P in %"),
                       (right, "ρ as the slides count, both by LC")):  # fmt: skip
        axes.axhline(percent(rows[0].errors), color="grey", ls="--", lw=1, label="reference")
        axes.set_xlabel(said)
        _dress(axes)
    for axes in (left, middle):
        axes.xaxis.set_major_locator(FixedLocator(sorted(ticks[axes])))
        axes.xaxis.set_minor_locator(NullLocator())
    figure.suptitle(f"{title}; errors above {top:.0f} % are not shown")
    left.set(ylabel="test error, %")
    left.set_ylim(top=top)
    return figure


def _dress(axes: Axes) -> None:
    """Put logarithmic scales with ticks that can be read, a grid and a legend on the axes."""
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(fontsize="x-small")
