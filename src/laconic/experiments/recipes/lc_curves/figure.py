"""The figures of the source: errors of quantization by K, of pruning by P, and of both by ρ."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from laconic.experiments.recipes.lc_curves.claims import of
from laconic.experiments.recipes.lc_curves.measurements import Row
from laconic.experiments.recipes.lc_curves.settings import METHODS
from laconic.experiments.recipes.statement import percent

_MOST = 20
"""Percent; beyond, all is lost."""

_MARKS = {"direct": "^:", "iDC": "s--", "magnitude": "s--", "LC": "o-"}


def curves(rows: Sequence[Row], title: str) -> Figure:
    """Return the figure of a network: by K, by P, and quantization beside pruning by ρ of the source's formula."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    for method in METHODS["adaptive"]:
        own = of(rows, "adaptive", method)
        left.plot([r.setting.number for r in own if r.setting], [percent(r.errors) for r in own], _MARKS[method],
                  label=method)  # fmt: skip
    for scaled, mark in ((False, "x"), (True, "+")):
        fixed = [r for r in of(rows, "fixed", "LC") if r.setting and r.setting.scaled == scaled]
        left.plot([r.setting.number for r in fixed if r.setting], [percent(r.errors) for r in fixed], f"k{mark}",
                  label=f"fixed values{' and a scale' if scaled else ''}, LC")  # fmt: skip
    for method in METHODS["pruning"]:
        own = of(rows, "pruning", method)
        shares = [100 * r.setting.number for r in own if r.setting]
        middle.plot(shares, [percent(r.errors) for r in own], _MARKS[method], color="tab:red", label=method,
                    alpha=1.0 if method == "LC" else 0.5)  # fmt: skip
    for name, family, colour in (("quantization", "adaptive", "tab:blue"), ("pruning", "pruning", "tab:red")):
        own = of(rows, family, "LC")
        right.plot([r.figures["rho"] for r in own], [percent(r.errors) for r in own], "o-", color=colour, label=name)
    for axes, said in ((left, "values a codebook has, K"), (middle, "weights that are kept, P in %"),
                       (right, "ρ as the slides count, both by LC")):  # fmt: skip
        axes.axhline(percent(rows[0].errors), color="grey", ls="--", lw=1, label="reference")
        axes.set_xlabel(said)
        _dress(axes)
    left.set(ylabel="test error, %", title=f"{title}; errors above {_MOST} % are not shown")
    left.set_ylim(top=_MOST)
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
