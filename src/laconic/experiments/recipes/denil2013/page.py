"""What is shown of predicted weights: a row for each method and share, errors against shares, files, and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from laconic.experiments.recipes.denil2013.runs import (
    HARMLESS,
    LOW_RANK,
    PREDICTED,
    RANDOM,
    SMOOTH,
    WHOLE,
    Effort,
    Run,
)  # fmt: skip
from laconic.experiments.recipes.statement import Judged, percent, table

FEW = "without the dictionary"

_LOOKS = {PREDICTED: "s:", SMOOTH: "o-", RANDOM: "^-", LOW_RANK: "d-"}


def of(runs: Sequence[Run], method: str, share: float) -> list[Run]:
    """Return the runs of a method at a share, over the seeds."""
    return [run for run in runs if (run.method, run.share) == (method, share)]


def errors(runs: Sequence[Run], method: str, share: float) -> np.ndarray:
    """Return the mean over the seeds of what each test image costs, shape (samples,)."""
    found: np.ndarray = np.mean([run.wrong for run in of(runs, method, share)], axis=0)
    return found


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each method and share: test error in percent, and means over the seeds of files."""
    found = []
    for method, share in dict.fromkeys((run.method, run.share) for run in runs):
        own = of(runs, method, share)
        each = np.array([100 * run.wrong.mean() for run in own])
        row: dict[str, Any] = {
            "method": method, "share": share, "numbers": own[0].numbers,
            "error": percent(np.stack([run.wrong for run in own])),
            "spread": round(float(each.std(ddof=1)), 4) if len(own) > 1 else None,
        }  # fmt: skip
        row |= {key: _mean(own, (key,)) for key in ("sigma", "missed", "rank") if key in own[0].figures}
        for file in ("file", FEW):
            if file in own[0].figures:
                row[file] = {key: _mean(own, (file, key)) for key in ("bytes", "error", "dB")}
        found.append(row)
    return found


def _mean(runs: Sequence[Run], keys: Sequence[str]) -> float:
    """Return the mean of a figure over runs, to four decimals."""
    values = []
    for run in runs:
        at: Any = run.figures
        for key in keys:
            at = at[key]
        values.append(float(at))
    return round(float(np.mean(values)), 4)


def figure(runs: Sequence[Run], title: str) -> Figure:
    """Return test errors against the share that is trained, and against the bytes of files, means over the seeds."""
    drawn = Figure(figsize=(10, 5), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    found = rows(runs)
    (whole,) = (row for row in found if row["method"] == WHOLE)
    left.axhline(whole["error"], color="k", lw=0.8, label=f"all weights, {whole['error']:.2f} %")
    right.plot([whole["file"]["bytes"] / 1000], [whole["file"]["error"]], "k*", ms=10, label="all weights")
    for method, look in _LOOKS.items():
        own = [row for row in found if row["method"] == method]
        shares = [100 * row["share"] for row in own]
        (line,) = left.plot(shares, [row["error"] for row in own], look, ms=5, label=method)
        for key, style, label in (("file", "-", method), (FEW, "--", f"{method}, {FEW}")):
            points = [(row[key]["bytes"] / 1000, row[key]["error"]) for row in own if key in row]
            if points:
                right.plot(*zip(*points, strict=True), look[0] + style, ms=5, color=line.get_color(), label=label)
    left.set(xscale="log", yscale="log", xlabel="numbers of the first layer that are trained or kept, %",
             ylabel="test error, %")  # fmt: skip
    right.set(xscale="log", xlabel="file of the whole network, KB")
    ticks = sorted({100 * row["share"] for row in found if row["method"] == SMOOTH})
    left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    marks = [2, 3, 5, 10, 20, 50, 100]
    left.set_yticks(marks, [str(mark) for mark in marks])
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.xaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.grid(visible=True, lw=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    drawn.suptitle(title)
    return drawn


def page(runs: Sequence[Run], verdicts: Sequence[Judged], effort: Effort) -> str:
    """Return the page."""
    seeds = ", ".join(map(str, sorted({run.seed for run in runs})))
    lines = [
        "# Predicted weights", "",
        f"LeNet-300-100 on {effort.data}, {effort.how.epochs} epochs in batches of {effort.batch}; seeds {seeds}. The "
        "share is that of the first layer's numbers which are trained, or kept; the other layers are trained whole. ± "
        "is the standard deviation over the seeds.", "",
        f"* {PREDICTED}: of the network with all its weights, those that read some pixels are kept, and predict the "
        "others; σ and λ have the least validation error of twenty.",
        f"* {SMOOTH}: so few numbers are trained, in the span of that prediction.",
        f"* {RANDOM}: as many, in the span of random directions.",
        f"* {LOW_RANK}: both factors are trained, of so many numbers together.", "",
        f"A file is the coarsest grid of a ladder of 2 dB, by bisection, that adds at most {HARMLESS} points to the "
        "network's validation error: a `.lac` file of the whole network with the layer as a product of two factors (of "
        f"all weights: as it is). \"{FEW[0].upper() + FEW[1:]}\" is a `.lac` file of the trained numbers alone, with "
        "what the dictionary is made of (α's seed, σ) in its metadata: a count of what such a code would cost. The "
        "format has no code that makes the dictionary again, and no command opens such a file as a network.", "",
        "| first layer | share, % | numbers | test error, % | file, bytes | its error, % "
        f"| {FEW}, bytes | its error, % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows(runs):
        spread = "" if row["spread"] is None else f" ± {row['spread']:.2f}"
        files = " | ".join(_of_file(row.get(key)) for key in ("file", FEW))
        lines.append(
            f"| {row['method']} | {100 * row['share']:g} | {row['numbers']:,} | {row['error']:.2f}{spread} | {files} |"
        )
    lines += ["", "![errors against shares and bytes](denil2013.png)", "", *table(verdicts), ""]
    lines += [
        "Differences are of the test error, in points, by a bootstrap over test samples whose errors are means over "
        "seeds: it does not know how runs differ.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _of_file(file: Mapping[str, float] | None) -> str:
    """Return two cells of the table."""
    return "– | –" if file is None else f"{file['bytes']:,.0f} | {file['error']:.2f}"
