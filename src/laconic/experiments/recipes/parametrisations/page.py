"""The page and the figure of a network in all its parametrisations."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from laconic.experiments.recipes.parametrisations.variants import BASELINE
from laconic.experiments.recipes.records.subject import Effort

Rows = Sequence[Mapping[str, Any]]

MEANINGS = {
    BASELINE: "integers of the weights",
    "cosine": "integers of the cosine transform of kernels",
    "shared": "integers of values that weights share by a hash",
    "factors": "integers of two factors",
    "drawn": "blocks that are vectors of a seeded generator",
}
"""What each variant stores."""


def page(net: str, data: str, effort: Effort, rows: Rows, reference: Mapping[str, float], figure: str) -> str:
    """Return the page in Markdown.

    Args:
        net: the network.
        data: name of the data set.
        effort: the settings.
        rows: of all settings and sizes.
        reference: errors of the uncompressed network, in percent.
        figure: name of its file.
    """
    learning = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in effort.record()["LC"].items()
    )
    lines = [
        f"# Other parametrisations of {net}", "",
        f"On {data}, one seed. All rows have the same schedule of LC within a size, shorter than that of the records:",
        f"{learning}. Of the settings of a variant the one with the least validation error is chosen; test images are",
        f"read for that one alone. {BASELINE} has one setting.", "",
        f"Uncompressed: {reference['validation']:.2f} % on validation, {reference['test']:.2f} % on test.", "",
        f"![error against bytes]({figure})", "",
        "| size | variant | what is stored | setting | bytes | validation error, % | test error, % |",
        "|---:|---|---|---|---:|---:|---:|",
        *(_line(row) for row in rows if "test" in row), "", *_verdicts(rows), "",
        "Every setting that was run:", "", "| size | variant | setting | bytes | validation error, % |",
        "|---:|---|---|---:|---:|", *(_short(row) for row in rows),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def curve(net: str, data: str, rows: Rows, reference: Mapping[str, float]) -> Figure:
    """Return the test error against the bytes, a line for each variant."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for mark, variant in zip("os^Dv", MEANINGS, strict=True):
        points = sorted((row["size"], row["test"]) for row in rows if row["variant"] == variant and "test" in row)
        wide = 2.0 if variant == BASELINE else 1.0
        axes.plot([size for size, _ in points], [error for _, error in points], f"{mark}-", lw=wide, label=variant)
    axes.axhline(reference["test"], color="grey", ls="--", lw=1, label="reference")
    axes.set(xscale="log", xlabel="bytes that the file may have", ylabel="test error, %", title=f"{net}, {data}")
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(fontsize="small")
    return figure


def _line(row: Mapping[str, Any]) -> str:
    """Return the line of a chosen row."""
    size, variant = f"{row['size']:,}", row["variant"]
    errors = f"{row['validation']:.2f} | {row['test']:.2f}"
    return f"| {size} | {variant} | {MEANINGS[variant]} | {row['setting']} | {row['bytes']:,} | {errors} |"


def _short(row: Mapping[str, Any]) -> str:
    """Return the line of any row; one that came to nothing says why."""
    start = f"| {row['size']:,} | {row['variant']} | {row['setting']} |"
    if "reason" in row:
        return f"{start} – | {row['reason']} |"
    return f"{start} {row['bytes']:,} | {row['validation']:.2f} |"


def _verdicts(rows: Rows) -> list[str]:
    """Return for each size the variant of the least validation error, beside the baseline."""
    lines = []
    for size in dict.fromkeys(row["size"] for row in rows):
        own = {row["variant"]: row for row in rows if row["size"] == size and "test" in row}
        if not own:
            continue
        best = min(own.values(), key=lambda row: float(row["validation"]))
        beside = own.get(BASELINE)
        told = f", {BASELINE} {beside['validation']:.2f} %" if beside and beside is not best else ""
        lines.append(
            f"- {size:,} bytes: {best['variant']} has the least validation error, {best['validation']:.2f} %{told}."
        )
    return lines
