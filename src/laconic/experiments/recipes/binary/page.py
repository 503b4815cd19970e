"""The page of a network: every method at its rate, what others report, the verdicts; and the figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.binary.claims import PUBLISHED, at_rates
from laconic.experiments.recipes.binary.methods import METHODS
from laconic.experiments.recipes.binary.runs import Row
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.statement import Judged, percent, table

_HOW = """\
Every method begins with the same reference, and has as many epochs over the same batches. Weights of few bits are
trained by SGD with Nesterov momentum 0.9, the rate falling as half a cosine; real weights are kept for the optimizer,
and what is judged has the few values, but for “drawn”, which is judged with its real weights as its source does. LC has
its steps and epochs of fine-tuning; it may end before them. Each method has the rate of the least validation error
among the same ones, on the first seed; other seeds have that rate. Intervals are over seeds and test images; of one
seed they know no chance of training. Biases and norms are real in all of them. Bytes are those of our file, with
everything in it."""


def title() -> list[str]:
    """Return the head of the page."""
    return ["# Weights of few bits: trained as such, and by LC", "", *_HOW.split("\n"), ""]


def network(
    name: str, net: str, effort: Effort, rows: Sequence[Row], rates: Mapping[str, float], verdicts: Sequence[Judged],
    picture: str,
) -> list[str]:  # fmt: skip
    """Return the part on a network.

    Args:
        name: of network and data, to people.
        net: its own.
        effort: how LC was run.
        rows: of all seeds and rates.
        rates: by method.
        verdicts: on them.
        picture: name of the figure's file.
    """
    settings = ", ".join(f"{key} {value}" for key, value in effort.record().items() if key != "lr")
    lines = [
        f"## {name}", "", f"Settings of LC: {settings}.", "", f"![test errors]({picture})", "", *table(verdicts), "",
        "| method | weights | rate | test error, %, by seed | mean | validation, % | bytes | seconds of training |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for method in ("reference", *METHODS):
        if any(row.method == method for row in rows):
            lines.append(_line(method, [row for row in at_rates(rows, rates) if row.method == method], rates))
    lines += ["", "Validation errors in % at the rates that were tried, first seed:", ""]
    tried = sorted({row.rate for row in rows if row.rate is not None})
    lines += [f"| method | {' | '.join(f'{rate:g}' for rate in tried)} |", f"|---|{'---:|' * len(tried)}"]
    first = min(row.seed for row in rows)
    for method in METHODS:
        own = {row.rate: row.figures for row in rows if (row.seed, row.method) == (first, method)}
        if own:
            cells = (f"{own[r]['validation']:.2f}" if "validation" in own.get(r, {}) else "diverged" for r in tried)
            lines.append(f"| {method} | {' | '.join(cells)} |")
    if net in PUBLISHED and "digits" not in name:
        lines += ["", "Published:", "", "| what | test error |", "|---|---|"]
        lines += [f"| {what} | {error} |" for what, error in PUBLISHED[net]]
    return [*lines, ""]


def figure(rows: Sequence[Row], rates: Mapping[str, float], name: str) -> Figure:
    """Return test errors by method: a dot for each seed, a bar for their mean, a line for the references' mean."""
    drawn = Figure(figsize=(8, 3.6), layout="constrained")
    axes, own = drawn.subplots(), at_rates(rows, rates)
    methods = [method for method in METHODS if method in rates]
    for place, method in enumerate(reversed(methods)):
        errors = [percent(row.errors) for row in own if row.method == method and len(row.errors)]
        axes.plot(errors, [place] * len(errors), "o", color="tab:blue", alpha=0.6)
        axes.plot([np.mean(errors)], [place], "|", color="k", markersize=14)
    references = [percent(row.errors) for row in own if row.method == "reference"]
    axes.axvline(float(np.mean(references)), color="grey", ls="--", lw=1, label="reference")
    axes.set_yticks(range(len(methods)), labels=list(reversed(methods)))
    axes.set_ylim(-0.6, len(methods) - 0.4)
    axes.set(xlabel="test error, %", title=f"{name}: seeds, and their mean", xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.grid(visible=True, axis="x", which="both", lw=0.3)
    axes.legend(fontsize="x-small")
    return drawn


def _line(method: str, own: Sequence[Row], rates: Mapping[str, float]) -> str:
    """Return the line of a method."""
    there = [row for row in own if len(row.errors)]
    said = METHODS[method].said if method in METHODS else "real"
    if not there:
        return f"| {method} | {said} | – | diverged at every rate | | | | |"
    errors = [percent(row.errors) for row in there]

    def mean(key: str, form: str) -> str:
        values = [row.figures[key] for row in there if key in row.figures]
        return format(np.mean(values), form) if values else "–"

    rate = f"{rates[method]:g}" if method in rates else "–"
    cells = (
        method, said, rate, ", ".join(f"{error:.2f}" for error in errors), f"{np.mean(errors):.2f}",
        mean("validation", ".2f"), mean("bytes", ",.0f"), mean("seconds", ".0f"),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"
