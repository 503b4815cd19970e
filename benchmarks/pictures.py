"""Draw the figures of notes whose tables are records of benchmarks: what a choice is worth, and what pays in running.

    python benchmarks/pictures.py [--folder recipes] [-o docs/notes]

`choosing.png` is of choose.json: KL on validation images of the plan that was chosen, of the best one with several
techniques, and of each technique alone. `running.png` is of runtime.json and runtime-1-thread.json: how many times
faster each network is, by the samples of a call; what lies below 1 does not pay.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ALONE = ("low rank", "pruning", "codebook", "additive", "channels", "filters")
CHOSEN, SEVERAL = "chosen: the grid alone", "nearest with several"
_NAMES = {"lenet300": "LeNet-300-100", "resnet20": "ResNet-20"}


def choosing(points: list[dict[str, Any]]) -> Figure:
    """Return a row of dots for each plan, one a network and size, of its KL and a standard error on either side."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes, plans = figure.subplots(), [CHOSEN, SEVERAL, *(f"{one} alone" for one in ALONE)]
    for number, point in enumerate(sorted(points, key=lambda one: (one["network"], one["size"]))):
        files = {plan: file for plan in plans[2:] for file in point["files"] if file["plan"] == plan}
        several = [one for one in point["files"] if one["plan"].startswith("choice")]
        files = {CHOSEN: point["choice"], SEVERAL: min(several, key=lambda one: float(one["damage"])), **files}
        places = [plans.index(plan) + 0.15 * (number - (len(points) - 1) / 2) for plan in files]
        kls, errors = ([one[key] for one in files.values()] for key in ("kl", "kl_standard_error"))
        label = f"{_NAMES[point['network']]}, {point['size']:,} bytes"
        axes.errorbar(kls, places, xerr=errors, fmt="osDv^"[number % 5], ms=5, capsize=2, label=label)
    axes.set(xscale="log", xlabel="KL(original ‖ compressed) on 5,000 validation images, nats")
    axes.set_yticks(range(len(plans)), plans)
    axes.invert_yaxis()
    axes.grid(axis="x", which="major", lw=0.3)
    axes.legend(fontsize="small")
    return figure


def running(threads: dict[str, list[dict[str, Any]]]) -> Figure:
    """Return two bars for each row, for one thread and for two, from the line at which nothing is gained.

    Args:
        threads: rows by what the bars are called; the same in each.
    """
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    axes, height = figure.subplots(), 0.8 / len(threads)
    rows = next(iter(threads.values()))
    for number, (label, own) in enumerate(threads.items()):
        places = [place + height * (number + 0.5 - len(threads) / 2) for place in range(len(own))]
        axes.barh(places, [one["ratio"] - 1 for one in own], height, left=1, label=label)
    axes.axvline(1, color="black", lw=1)
    axes.set(xscale="log", xlabel="times faster; after each name, samples of a call")
    axes.set_xticks([0.2, 0.5, 1, 2, 3, 5], ["0.2", "0.5", "1", "2", "3", "5"], minor=False)
    axes.minorticks_off()
    names = [f"{one['what']}: {one['after'].removeprefix('torch, ')}, {one['samples']}" for one in rows]
    axes.set_yticks(range(len(rows)), names, fontsize="small")
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.grid(axis="x", lw=0.3)
    axes.legend(fontsize="small", loc="upper right")
    return figure


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("recipes"))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/notes"))
    options = parser.parse_args()

    def rows(name: str, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((options.folder / name).read_text(encoding="utf-8"))[key]
        return found

    figures = {
        "choosing": choosing(rows("choose.json", "points")),
        "running": running({"one thread": rows("runtime-1-thread.json", "rows"), "two": rows("runtime.json", "rows")}),
    }
    for name, figure in figures.items():
        figure.savefig(options.output / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
