"""One figure a network: error against the bytes of whole files, every method that was run and every published point.

    python benchmarks/every_method.py [--network lenet300 lenet5 resnet20] [--folder recipes] [-o docs/notes]

It draws from the records of `laconic reproduce` in FOLDER; those that are not there are left out. Means are over the
seeds of a record. Files of the tables of techniques are of the LC toolkit's network with tanh (2.13 % before
compression), all others of networks with ReLU that the recipes train; ResNet-20 is the published one, at scale small.
Published points are those of the recipes of records; what they count is named there.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from laconic.experiments.recipes.records.cifar import RESNET20
from laconic.experiments.recipes.records.mnist import LENET5, LENET300
from laconic.experiments.recipes.records.page import is_calibrations

SUBJECTS = {"lenet300": LENET300, "lenet5": LENET5, "resnet20": RESNET20}
_TABLES = {"lenet300": ("techniques.json", "techniques-steps.json", "techniques-within-bytes.json")}
_STYLES = {
    "LC within the bytes": ("o-", "black"), "calibration within the bytes": ("o--", "grey"),
    "other parametrisations": ("x", "tab:brown"),
    "Deep Compression here, its layout": ("s", "tab:red"), "Deep Compression here, our file": ("s", "tab:orange"),
    "quantization": (".", "tab:blue"), "pruning": (".", "tab:red"), "groups": (".", "tab:orange"),
    "low rank": (".", "tab:green"), "sum": (".", "tab:purple"), "choice": ("*", "tab:brown"),
}  # fmt: skip


class Point(NamedTuple):
    """A file: what made it, its bytes, and its error on the test images in percent."""

    method: str
    size: float
    error: float


def points(folder: Path, network: str) -> Iterator[Point]:
    """Yield the files of a network that the records have."""
    yield from _records(_read(folder / f"records-{network}.json"))
    yield from _parametrisations(_read(folder / f"records-parametrisations-{network}.json"), network)
    yield from _deep_compression(_read(folder / "deep-compression.json"), network)
    for name in ("lc-lenets.json", "lc-resnets.json"):
        for row in _read(folder / name).get("networks", {}).get(network, {}).get("rows", ()):
            if row["method"] == "LC" and "bytes" in row:
                yield Point("pruning" if row["setting"].startswith("P") else "quantization", row["bytes"], row["test"])
    for name in _TABLES.get(network, (f"techniques-{network}.json",)):
        for row in _read(folder / name).get("rows", ()):
            if row["method"] == "LC" and row.get("reached"):
                yield Point(row["family"], row["bytes"], row["error"])


def _read(path: Path) -> dict[str, Any]:
    """Return a record, or nothing where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _records(record: dict[str, Any]) -> Iterator[Point]:
    """Yield the mean over the seeds of each size, of the last part of a record that has it."""
    last = dict[str, list[dict[str, Any]]]()
    for part in record.get("parts", [record]):
        rows = [row for row in part.get("rows", ()) if "bytes" in row]
        last |= {label: [row for row in rows if row["label"] == label] for label in {row["label"] for row in rows}}
    for own in last.values():
        size, error = fmean(row["bytes"] for row in own), fmean(row["test"]["error"] for row in own)
        calibrated = all(map(is_calibrations, own))
        yield Point("calibration within the bytes" if calibrated else "LC within the bytes", size, error)


def _parametrisations(record: dict[str, Any], network: str) -> Iterator[Point]:
    """Yield what was chosen on validation of each variant."""
    for row in record.get("networks", {}).get(network, {}).get("rows", ()):
        if "test" in row:
            yield Point("other parametrisations", row["bytes"], row["test"])


def _deep_compression(record: dict[str, Any], network: str) -> Iterator[Point]:
    """Yield the file of the whole pipeline, in its own layout and in ours."""
    for stage in record.get("networks", {}).get(network, {}).get("stages", ())[-1:]:
        yield Point("Deep Compression here, its layout", stage["bytes"]["file"], stage["error"])
        yield Point("Deep Compression here, our file", stage["bytes"]["laconic"], stage["error"])


def drawn(network: str, every: list[Point]) -> Figure:
    """Return the figure."""
    subject = SUBJECTS[network]
    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.subplots()
    for method, (style, colour) in _STYLES.items():
        own = sorted((point.size, point.error) for point in every if point.method == method)
        if own:
            axes.plot(*zip(*own, strict=True), style, color=colour, label=method, ms=6)
    for mark, one in zip("^Dv*P<", subject.published, strict=False):
        if one.error is None:  # it says "about no loss"
            continue
        axes.plot([one.size], [one.error], mark, mfc="none", color="black", label=f"published: {one.name}")
    axes.set(xscale="log", yscale="log", xlabel="bytes of the file", ylabel="test error, %")
    axes.set_title(f"{subject.title}, {subject.data}: every method that was run")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(fontsize="small")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", nargs="+", choices=SUBJECTS, default=[*SUBJECTS])
    parser.add_argument("--folder", type=Path, default=Path("recipes"))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/notes"))
    options = parser.parse_args()
    for network in options.network:
        every = list(points(options.folder, network))
        drawn(network, every).savefig(options.output / f"every-method-{network}.png", dpi=120)
        print(f"{SUBJECTS[network].title}: {len(every)} files, {len(SUBJECTS[network].published)} published points")


if __name__ == "__main__":
    main()
