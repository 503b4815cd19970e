"""What is shown of codistillation: a row for each way of training, a figure over epochs, and the verdicts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.codistillation.runs import ALONE, Effort, Pair
from laconic.experiments.recipes.statement import Judged, percent, table

PUBLISHED_STEPS = (5_250, 7_250)
"""Steps to 75 % on ImageNet, of two codistilled networks and of one, as the source has them."""


def name_of(staleness: int) -> str:
    """Return what a row is called."""
    return "one network" if staleness == ALONE else f"codistilled, staleness {staleness}"


def of_staleness(pairs: Sequence[Pair], staleness: int) -> list[Pair]:
    """Return the pairs of one staleness, over the seeds."""
    return [pair for pair in pairs if pair.staleness == staleness]


def epochs_to(pairs: Sequence[Pair], staleness: int) -> float | None:
    """Return in which share of its epochs a pair is, for good, as good on validation as one network at its end.

    The mean over the seeds of both; None where it never is.
    """
    alone, own = (np.mean([pair.validation for pair in of_staleness(pairs, one)], axis=0) for one in (ALONE, staleness))
    behind = np.flatnonzero(own > alone[-1])
    first = 0 if not len(behind) else int(behind[-1]) + 1
    return None if first == len(own) else (first + 1) / len(own)


def rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return for each way of training the test error in percent, of one of the two and of the mean of both."""
    found = []
    for staleness in sorted({pair.staleness for pair in pairs}):
        own = of_staleness(pairs, staleness)
        errors = np.array([100 * pair.errors.mean() for pair in own])
        found.append({
            "staleness": staleness, "error": percent(np.stack([pair.errors for pair in own])),
            "spread": round(float(errors.std(ddof=1)), 4) if len(own) > 1 else None,
            "together": percent(np.stack([pair.together for pair in own])),
            "epochs": epochs_to(pairs, staleness),
        })  # fmt: skip
    return found


def figure(pairs: Sequence[Pair], title: str) -> Figure:
    """Return validation errors over the epochs, means over the seeds."""
    drawn = Figure(figsize=(7, 4.2), layout="constrained")
    axes = drawn.subplots()
    for staleness in sorted({pair.staleness for pair in pairs}):
        means = np.mean([pair.validation for pair in of_staleness(pairs, staleness)], axis=0)
        axes.plot(np.arange(1, len(means) + 1), means, "k--" if staleness == ALONE else "o-", ms=3,
                  label=name_of(staleness))  # fmt: skip
    axes.set(xlabel="epochs", ylabel="validation error, %", title=title)
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(fontsize="small")
    return drawn


def page(pairs: Sequence[Pair], verdicts: Sequence[Judged], effort: Effort) -> str:
    """Return the page."""
    seeds, epochs = sorted({pair.seed for pair in pairs}), effort.how.epochs
    lines = [
        "# Codistillation", "",
        f"LeNet-300-100 on {effort.data}: pairs of networks, {epochs} epochs in batches of {effort.batch}, "
        f"{effort.burn_in:,} steps of burn-in; seeds {', '.join(map(str, seeds))}. Alone or together, a pair has the "
        "same first weights, batches and steps. ± is the standard deviation over the seeds. The last column: after "
        "which share of the epochs the validation error is, for good, at most that of one network at its end; in "
        f"print, on ImageNet, {PUBLISHED_STEPS[0]:,} of {PUBLISHED_STEPS[1]:,} steps, "
        f"{PUBLISHED_STEPS[0] / PUBLISHED_STEPS[1]:.0%}.", "",
        "| way | test error of one, % | of the two together, % | epochs to the error of one network |",
        "|---|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows(pairs):
        spread = "" if row["spread"] is None else f" ± {row['spread']:.2f}"
        share = "never" if row["epochs"] is None else f"{row['epochs']:.0%}"
        lines.append(f"| {name_of(row['staleness'])} | {row['error']:.2f}{spread} | {row['together']:.2f} | {share} |")
    lines += ["", "![validation error over epochs](codistillation.png)", "", *table(verdicts), ""]
    lines += [
        "Differences are of one network's test error, in points, by a bootstrap over test samples whose errors are "
        "means over networks and seeds: it does not know how runs differ.", "",
    ]  # fmt: skip
    return "\n".join(lines)
