"""The page and the figure of the records: error against the bytes of real files."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from matplotlib.figure import Figure

from laconic.experiments.recipes.records.subject import Effort, Published, Subject

Rows = Sequence[Mapping[str, Any]]


def page(subject: Subject, name: str, effort: Effort, rows: Rows, figure: str) -> str:
    """Return the page in Markdown.

    Args:
        subject: the network.
        name: of the data set.
        effort: the settings.
        rows: of all seeds.
        figure: name of its file.
    """
    settings = effort.record()
    lines = [
        f"# The smallest files of {subject.net}", "",
        f"On {name}{_scale(subject, name, effort)}. Settings, and the point of each path that comes out, are chosen on",
        "training images that are held out. Test images are read once a row. Bytes are those of the file, with",
        "everything in it.", "", *([subject.note, ""] if subject.note else []),
        f"Reference: {_listed(settings['reference'] or {'published': subject.weights})}.", "",
        f"LC within a size: {_listed(settings['LC'])}.", "", f"![error against bytes]({figure})", "",
        "| file | bytes | validation error, % | test error, % | by seed |", "|---|---:|---:|---:|---|",
        *(_line(label, [row for row in rows if row["label"] == label]) for label in _labels(rows)),
        *_calibrations(rows), "", "| published | bytes | test error, % | source |", "|---|---:|---:|---|",
        *(f"| {one.name} | {one.size:,} | {_figure(one)} | {one.source} |" for one in subject.published),
        "", *_verdicts(subject, name, effort, rows),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _scale(subject: Subject, name: str, effort: Effort) -> str:
    """Return the scale in words; that of MNIST tells by the name of the data."""
    if name != subject.data or subject.data == "mnist":
        return ""
    return ", full scale" if effort is subject.full else ", small scale"


def _listed(settings: Mapping[str, Any]) -> str:
    """Return settings in a line."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _figure(one: Published) -> str:
    """Return the error of a published point, or what is said of it."""
    return one.said if one.error is None else f"{one.error:g}"


def curve(subject: Subject, name: str, rows: Rows) -> Figure:
    """Return error against bytes: every seed as a dot, the means as a line, and what is published on these data."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    files = [row for row in rows if "bytes" in row]
    axes.plot([row["bytes"] for row in files], [_error(row) for row in files], ".", color="tab:blue", alpha=0.5)
    points = sorted(
        (fmean(row["bytes"] for row in own), fmean(map(_error, own)))
        for label in _labels(files)
        if (own := [row for row in files if row["label"] == label])
    )
    axes.plot([size for size, _ in points], [error for _, error in points], "o-", color="tab:blue", label="laconic")
    reference = [_error(row) for row in rows if row["label"] == "uncompressed"]
    axes.axhline(fmean(reference), color="grey", ls="--", lw=1, label="reference")
    if name == subject.data:
        for mark, one in zip("s^Dv*P", subject.published, strict=False):
            if one.error is None:
                axes.axvline(one.size, color="tab:red", ls=":", lw=1, label=f"{one.name}: {one.said}")
            else:
                axes.plot([one.size], [one.error], mark, color="tab:red", label=f"{one.name}, {one.size:,} B")
    axes.set(xscale="log", xlabel="bytes of the file", ylabel="test error, %", title=f"{subject.net}, {name}")
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(fontsize="small")
    return figure


def _verdicts(subject: Subject, name: str, effort: Effort, rows: Rows) -> list[str]:
    """Return what became of each aim: whether the mean over the seeds is there, where this was run in earnest."""
    if name != subject.data:
        return [f"Published points are of {subject.data.upper()}, not of these."]
    if effort is not subject.full:
        return ["No record is claimed at the small scale: it shows that all of it runs, and about where it leads."]
    lines = []
    for size, error in subject.aims:
        own = [row for row in rows if row.get("bytes", size + 1) <= size]
        best = min((_mean(own, label) for label in _labels(own)), default=math.inf)
        ran = any(row["label"] == f"{size} bytes" for row in rows)  # a smaller file may reach it, but not miss it
        said = f"reached: {best:.2f} %" if best <= error else f"missed: {best:.2f} %" if ran else "not run"
        lines.append(f"- {size:,} bytes at {error:g} % or less: {said}.")
    return lines


def _line(label: str, rows: Rows) -> str:
    """Return a line of the table: the mean over the seeds, its deviation, and each."""
    errors = [_error(row) for row in rows]
    spread = f" ± {stdev(errors):.2f}" if len(errors) > 1 else ""
    size = f"{fmean(row['bytes'] for row in rows):,.0f}" if "bytes" in rows[0] else "–"
    validation = fmean(row["validation"]["error"] for row in rows)
    each = ", ".join(f"{error:.2f}" for error in errors)
    return f"| {label} | {size} | {validation:.2f} | {fmean(errors):.2f}{spread} | {each} |"


def _calibrations(rows: Rows) -> list[str]:
    """Return which files no path was better than, in a sentence."""
    own = [f"seed {row['seed']}, {row['label']}" for row in rows if is_calibrations(row)]
    return [
        "",
        f"The file of calibration itself, which no step was better than on validation: {'; '.join(own)}.",
    ] * bool(own)


def is_calibrations(row: Mapping[str, Any]) -> bool:
    """Say whether no step of a path was better on validation than the file of calibration, which came out then."""
    return row.get("calibrated") is not None and row["calibrated"] == row["validation"]


def _mean(rows: Rows, label: str) -> float:
    """Return the mean error of a size."""
    return fmean(_error(row) for row in rows if row["label"] == label)


def _error(row: Mapping[str, Any]) -> float:
    """Return the error on test images, in percent."""
    return float(row["test"]["error"])


def _labels(rows: Rows) -> list[str]:
    """Return what the rows are of, each once."""
    return list(dict.fromkeys(row["label"] for row in rows))
