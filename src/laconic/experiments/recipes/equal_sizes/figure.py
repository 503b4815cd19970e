"""Error against the bytes of the file, a curve for each technique."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laconic.experiments.recipes.equal_sizes.claims import METHODS
from laconic.experiments.recipes.equal_sizes.measurements import Measurement

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "lossless": "black",
        "quantization": "tab:blue",
        "pruning": "tab:red",
        "groups": "tab:orange",
        "low rank": "tab:green",
        "sum": "tab:purple",
        "choice": "tab:brown",
    }
)
"""Family → colour; within one, marks and strokes tell techniques apart."""

_MARKS, _STROKES = "os^vD*PX<>h", ("-", "--", ":")


def curves(rows: Sequence[Measurement], reference: float, label: str) -> Figure:
    """Return the figure: a panel for direct compression and one for LC, each with axes of its own, logarithmic.

    Args:
        rows: of the table; those that reach their size are drawn.
        reference: error of the uncompressed network, in percent.
        label: of the network.
    """
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    panels = figure.subplots(1, len(METHODS), sharex=True)
    styles = _styles(rows)
    for axes, method in zip(panels, METHODS, strict=True):
        axes.axhline(max(reference, 1e-2), color="grey", ls="--", lw=1)
        for name, (colour, stroke, mark) in styles.items():
            points = [row for row in rows if row.setting.label == name and row.method == method and row.reached]
            sizes, errors = [row.figures["bytes"] for row in points], [row.figures["error"] for row in points]
            axes.plot(sizes, errors, color=colour, ls=stroke, marker=mark, ms=5, lw=1, label=name)
        _dress(axes, method)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, fontsize="small")
    figure.suptitle(f"{label}: a colour for each family; grey, the uncompressed network")
    return figure


def _styles(rows: Sequence[Measurement]) -> dict[str, tuple[str, str, str]]:
    """Return colour, stroke and mark of each setting that is drawn."""
    drawn = {row.setting.label: row.setting.family for row in rows if row.reached}
    styles, counts = dict[str, tuple[str, str, str]](), dict.fromkeys(COLOURS, 0)
    for name, family in drawn.items():
        number = counts[family]
        styles[name] = COLOURS[family], _STROKES[number % len(_STROKES)], _MARKS[number % len(_MARKS)]
        counts[family] += 1
    return styles


def _dress(axes: Axes, method: str) -> None:
    """Put scales and words on the axes."""
    axes.set(xscale="log", yscale="log", xlabel="bytes of the file", ylabel="test error, %", title=method)
    axes.grid(visible=True, which="both", lw=0.3)
