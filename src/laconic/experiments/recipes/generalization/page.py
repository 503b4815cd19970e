"""What is shown: a row for each method and number of samples, the figure, and the verdicts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.generalization.methods import METHODS, Effort, Run
from laconic.experiments.recipes.statement import Judged, table

_BOTH = ("errors", "at_least")


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return for each method and size the test error in percent, mean and standard deviation over the seeds."""
    found = []
    for size in sorted({run.size for run in runs}):
        for method in METHODS:
            own = [run for run in runs if (run.method, run.size) == (method.name, size)]
            errors, least = (np.array([100 * getattr(run, which).mean() for run in own]) for which in _BOTH)
            files = [run.file_bytes for run in own if run.file_bytes is not None]
            found.append({
                "method": method.name, "size": size, "error": round(float(errors.mean()), 4),
                "spread": _spread(errors), "error at least": round(float(least.mean()), 4),
                "spread at least": _spread(least),
                "values": [run.value for run in own], "bytes": round(sum(files) / len(files)) if files else None,
            })  # fmt: skip
    return found


def _spread(errors: np.ndarray) -> float | None:
    """Return the standard deviation over the seeds, to four decimals."""
    return round(float(errors.std(ddof=1)), 4) if len(errors) > 1 else None


def figure(runs: Sequence[Run]) -> Figure:
    """Return test errors by the number of training samples, with bars of one standard deviation over the seeds."""
    drawn = Figure(figsize=(7, 4.2), layout="constrained")
    axes, found = drawn.subplots(), rows(runs)
    for number, method in enumerate(METHODS):
        own = [row for row in found if row["method"] == method.name]
        places = [row["size"] * 1.02 ** (number - len(METHODS) // 2) for row in own]
        axes.errorbar(places, [row["error"] for row in own], [row["spread"] or 0.0 for row in own], fmt="o-",
                      capsize=3, label=method.name)  # fmt: skip
    axes.set(xscale="log", xlabel="training samples", ylabel="test error, %", title="64-300-100-10 on digits")
    sizes = sorted({run.size for run in runs})
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.grid(visible=True, lw=0.3)
    axes.legend(fontsize="small")
    return drawn


def page(runs: Sequence[Run], verdicts: Sequence[Judged], effort: Effort) -> str:
    """Return the page."""
    seeds = sorted({run.seed for run in runs})
    lines = [
        "# Generalization of compressed networks", "",
        f"64-300-100-10 on digits; seeds {', '.join(map(str, seeds))} of samples, first weights and folds. Each "
        f"number is selected by {effort.folds} folds of the training samples: a weight decay by the least error, a "
        "compression as the smallest file within one standard error of it; the last column has that of the least "
        "error. The network is then trained on all samples. What is "
        f"not compressed is trained for {effort.alone.epochs} epochs, as many as reference, LC and fine-tuning "
        "together have. ± is the standard deviation over the seeds.", "",
        "| training samples | method | selected | bytes, mean | test error, % | by the least error |",
        "|---:|---|---|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows(runs):
        selected = ", ".join(f"{value:g}" for value in row["values"]) if row["method"] != METHODS[0].name else "–"
        size = "–" if row["bytes"] is None else f"{row['bytes']:,}"
        both = " | ".join(_said(row[f"error{end}"], row[f"spread{end}"]) for end in ("", " at least"))
        lines.append(f"| {row['size']} | {row['method']} | {selected} | {size} | {both} |")
    lines += ["", "![test errors](generalization.png)", "", *table(verdicts), ""]
    lines += [
        "Gaps are in points of error, by training samples, smallest set first. The bootstrap is over test samples, "
        "whose errors are means over the seeds: it does not know how training sets differ.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _said(error: float, spread: float | None) -> str:
    """Return an error and its spread."""
    return f"{error:.2f}" + ("" if spread is None else f" ± {spread:.2f}")
