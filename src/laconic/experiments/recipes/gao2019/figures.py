"""The figures of the paper, drawn from our points."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from laconic.experiments.recipes.gao2019.points import TECHNIQUES
from laconic.experiments.recipes.gao2019.study import Study
from laconic.experiments.recipes.gao2019.validation import Choice

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "baseline": "tab:orange",
        "proposed": "tab:blue",
        "gradient": "tab:green",
        "hessian": "tab:red",
        "gradient+hessian": "tab:purple",
    }
)


def panels(study: Study, methods: Sequence[str]) -> Figure:
    """Return accuracy and cross entropy for pruning and quantization, against the compression ratio of the paper."""
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    grid = figure.subplots(2, 2, sharex="col", squeeze=False)
    for row, measure in enumerate(("accuracy", "loss")):
        for column, technique in enumerate(TECHNIQUES):
            axes: Axes = grid[row][column]
            axes.axhline(study.reference.figures[measure], color="grey", ls="--", label="uncompressed")
            for method in methods:
                points = study.curves.get((technique, method), ())
                shares = [point.figures["share"] for point in points]
                costs = [point.figures[measure] for point in points]
                axes.plot(shares, costs, "o-", ms=3, color=COLOURS[method], label=method if points else None)
            if measure == "loss":
                _limit(axes, study, technique)
            if technique == "pruning" and max(study.subject.settings.values[technique]) > 0.5:
                axes.set_xlim(0, 1)
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set_ylabel("accuracy" if measure == "accuracy" else "cross entropy, nats")
            axes.set_title(technique if row == 0 else "")
            if row == 1:
                axes.set_xlabel("compressed over original size, as the paper counts")
    grid[0][0].legend()
    figure.suptitle(study.subject.label)
    return figure


def _limit(axes: Axes, study: Study, technique: str) -> None:
    """Cut off what lies far above the baseline: some networks lose all measure, and the rest would be a flat line."""
    worst = max(point.figures["loss"] for point in study.curves[technique, "baseline"])
    axes.set_ylim(0, min(axes.get_ylim()[1], 1.6 * worst))


def sensitivity(study: Study) -> Figure:
    """Return validation accuracy against the temperature, and against μ, at the anchors."""
    choices = list(study.choices.values())
    figure = Figure(figsize=(10, 3.6 * max(1, (len(choices) + 1) // 2)), layout="constrained")
    grid = figure.subplots(max(1, (len(choices) + 1) // 2), 2, squeeze=False)
    for place, choice in enumerate(choices):
        _choice(grid[place // 2][place % 2], choice, study.subject.settings.anchors[choice.technique])
    for place in range(len(choices), grid.size):
        grid[place // 2][place % 2].set_axis_off()
    figure.suptitle(f"{study.subject.label}, validation split")
    return figure


def _choice(axes: Axes, choice: Choice, anchors: Sequence[float]) -> None:
    """Draw one line for each anchor."""
    names = [f"{setting:.3g}" for setting in choice.accuracies]
    for anchor in anchors:
        heights = [row[choice.places.index(anchor)] for row in choice.accuracies.values()]
        axes.plot(names, heights, "o-", ms=3, label=f"{TECHNIQUES[choice.technique].strength} {anchor:g}")
    axes.set(xlabel="temperature T" if choice.option == "temperature" else "μ", ylabel="accuracy")
    axes.set_title(f"{choice.technique}, {choice.method}")
    axes.legend()
