"""What is shown of few-bit gradients: accuracy and bytes, a model of the time on more machines, and the verdicts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.statement import Judged, percent, table
from laconic.experiments.recipes.terngrad.runs import ALL, FLOAT, POWERSGD, WAYS, Effort, Run
from laconic.machines.timing import Measured, Network, step_seconds

WORKERS = tuple(2**power for power in range(10))
GIGABITS = (1, 10, 100)
LATENCY = 50e-6

FORMULA = "T(N) = compute + encode + decode · d + moved(N) / bandwidth + latency · ⌈log₂ N⌉"

ASSUMED = (
    "summed on the way (solid): moved = 2 (N − 1)/N messages, d = 1. Gathered (dashed): moved = N − 1 messages, d = N. "
    "N = 1: compute alone.\n"
    "Measured on one core: compute, encode, decode, bytes of a message. Each worker has a whole batch; nothing "
    f"overlaps; links are full duplex, latency {1e6 * LATENCY:.0f} µs."
)

PUBLISHED: Mapping[str, Mapping[str, Sequence[float]]] = {
    "AlexNet, ImageNet, top-1 %: 2, 4 and 8 workers": {
        "float32": (57.33, 57.32, 56.62), "terngrad": (57.61, 57.28, 57.54),
    },
    "CifarNet, CIFAR-10, %: 2 workers, batch 128, and 16 workers, batch 2,048": {
        "float32": (86.56, 83.19), "terngrad": (85.64, 82.80),
    },
    "LeNet, MNIST, %: one worker; least and most of 2 to 64 workers, batch 64 in all": {
        "float32": (99.2,), "terngrad": (99.0, 99.35),
    },
}  # fmt: skip
"""Wen et al. 2017: table 2 (weight decay .0005, clipped), table 1 and figure 3, accuracies."""

_COLOURS = {way: f"C{place}" for place, way in enumerate(WAYS)}


def rows(runs: Sequence[Run], numbers: int) -> list[dict[str, Any]]:
    """Return a row for each run: test error in percent, bytes and times.

    Args:
        runs: of one network.
        numbers: weights of the network, biases and all.
    """
    found = []
    for run in runs:
        row: dict[str, Any] = {"gradients": run.way, "workers": run.workers or "any", "error": percent(run.wrong)}
        row |= {"message": run.message, "times less": round(4 * numbers / run.message, 1), "seconds": run.seconds}
        found.append(row | {"steps a second": round(1 / run.seconds, 1)})
    return found


def modelled(costs: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """Return a row for each link and way: seconds of a step by the number of workers."""
    return [
        {
            "gigabits": gigabits, "gradients": way, "adds up": one.adds_up,
            "seconds": {str(n): step_seconds(one, Network(gigabits * 1e9 / 8, LATENCY), n) for n in WORKERS},
        }
        for gigabits in GIGABITS
        for way, one in costs.items()
    ]  # fmt: skip


def figure(costs: Mapping[str, Measured], title: str) -> Figure:
    """Return the model of the time of a step: a panel for each link, a line for each way."""
    drawn = Figure(figsize=(12, 5.4), layout="constrained")
    for axes, gigabits in zip(drawn.subplots(1, len(GIGABITS), sharey=True), GIGABITS, strict=True):
        for way, one in costs.items():
            times = [1000 * step_seconds(one, Network(gigabits * 1e9 / 8, LATENCY), n) for n in WORKERS]
            axes.plot(WORKERS, times, "o-" if one.adds_up else "s--", color=_COLOURS[way], ms=4, label=way)
        axes.set(xscale="log", yscale="log", xlabel="workers N", title=f"{gigabits} Gbit/s")
        axes.set_xticks(WORKERS, [str(n) if math.log2(n) % 2 else "" for n in WORKERS])
        axes.minorticks_off()
        axes.grid(visible=True, lw=0.3)
    first = drawn.axes[0]
    least, most = first.get_ylim()
    ticks = [t for power in range(-2, 6) for t in (10.0**power, 2 * 10.0**power, 5 * 10.0**power) if least <= t <= most]
    first.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    first.minorticks_off()
    first.set_ylabel("ms a step")
    lines, labels = first.get_legend_handles_labels()
    drawn.legend(lines, labels, loc="outside right upper", title="gradients")
    drawn.suptitle(title)
    drawn.supxlabel(f"{FORMULA}\n{ASSUMED}", fontsize="small")
    return drawn


def page(
    parts: Sequence[tuple[Effort, Sequence[Run], Mapping[str, Measured], int]], verdicts: Sequence[Judged],
    figures: Sequence[str],
) -> str:  # fmt: skip
    """Return the page.

    Args:
        parts: of each network how it was trained, its runs, times, and number of weights.
        verdicts: of all.
        figures: file names, one for each network.
    """
    lines = ["# Gradients in few bits", ""]
    lines += [
        "Workers share each batch and are played in one process: processes end with the same bits, as the tests say. "
        "float32 of several workers is one worker but for rounding, PowerSGD goes by the mean gradient alone: each "
        "is trained once. Bytes are of the message of one worker, means over steps; steps a second are of CPU time of "
        "all workers together on one core, so that more workers make fewer.", "",
    ]  # fmt: skip
    for (effort, runs, costs, numbers), name in zip(parts, figures, strict=True):
        lines += [
            f"## {effort.net} on {effort.data}", "",
            f"{effort.how.epochs} epochs in batches of {effort.batch}, learning rate {effort.how.lr} by a cosine.", "",
            "| gradients | workers | test error, % | message a step, bytes | times less | steps a second |",
            "|---|---:|---:|---:|---:|---:|",
        ]  # fmt: skip
        for row in rows(runs, numbers):
            lines.append(
                f"| {row['gradients']} | {row['workers']} | {row['error']:.2f} | {row['message']:,.0f} "
                f"| {row['times less']:.1f} | {row['steps a second']:.1f} |"
            )
        lines += ["", "By the model, ms a step; + is added up on its way:", ""]
        lines += _times(costs)
        lines += ["", f"![time of a step]({name})", ""]
    lines += ["## In print", "", "Wen et al. 2017, accuracy:", ""]
    lines += ["| | float32 | TernGrad |", "|---|---|---|"]
    for what, both in PUBLISHED.items():
        cells = [", ".join(f"{number:.2f}" for number in both[way]) for way in ("float32", "terngrad")]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    lines += ["", "## Verdicts", "", *table(verdicts), ""]
    lines += [
        "Differences are of the test error, in points, by a bootstrap over test images: it does not know how runs of "
        "other seeds would differ. The model's answers are those of its measured numbers, without an interval.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _times(costs: Mapping[str, Measured]) -> list[str]:
    """Return the lines of the table of the model."""
    shown = [n for n in WORKERS if n in (1, 2, 8, 32, 128, 512)]
    lines = ["| Gbit/s | gradients | bytes | encode, decode | " + " | ".join(f"N = {n}" for n in shown) + " |"]
    lines.append("|---:|---|---:|---:|" + "---:|" * len(shown))
    for row in modelled(costs):
        one = costs[row["gradients"]]
        times = " | ".join(f"{1000 * row['seconds'][str(n)]:.1f}" for n in shown)
        lines.append(
            f"| {row['gigabits']} | {row['gradients']}{' +' if one.adds_up else ''} | {one.message:,.0f} "
            f"| {1000 * one.encode:.1f}, {1000 * one.decode:.1f} | {times} |"
        )
    return lines


def error_of(runs: Sequence[Run], way: str, workers: int) -> np.ndarray:
    """Return what each test image costs in a run, shape (samples,)."""
    return next(
        run.wrong for run in runs if (run.way, run.workers) == (way, ALL if way in (FLOAT, POWERSGD) else workers)
    )
