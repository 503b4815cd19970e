"""The page of a network: every row of its table, and the verdicts."""

from collections.abc import Sequence

from laconic.experiments.recipes.lc_curves.measurements import Network, Row
from laconic.experiments.recipes.statement import Judged, percent, table

_HOW = """\
Learning and compression in alternation (LC) beside compressing once (direct), training and compressing in turn (iDC),
and pruning once with retraining (magnitude); weights that are ±H in every forward pass of as many epochs
(BinaryConnect). Codebooks are one for each tensor, a share of the weights is one of all
tensors together, biases stay as they are. Nothing is tuned on test images, which are read once a row. ρ is as the
slides count: floats of 32 bits, indices of ⌈log₂ K⌉, survivors in coordinate lists, biases charged an index too; beside
it as `laconic inspect` counts such codes: coordinates of each matrix by itself, and none for what is not pruned. Bytes
are those of our file, which is entropy-coded, with everything in it. Of the interval in which the error grows with
95 %: "none" lost holds where it begins at 0 or below, "some" where it begins above, "nearly none" where it ends within
half a point. "Not much slower" is at most twice the images and the seconds of the reference."""


def title() -> list[str]:
    """Return the head of the page."""
    return ["# Error-compression curves of LC", "", *_HOW.split("\n"), ""]


def network(net: Network, data: str, rows: Sequence[Row], judged: Sequence[Judged], figure: str) -> list[str]:
    """Return the part on a network.

    Args:
        net: the network.
        data: name of the data set, and the scale.
        rows: of `measured`.
        judged: the verdicts.
        figure: name of its file.
    """
    images, seconds = net.reference
    settings = ", ".join(f"{key} {value}" for key, value in net.effort.record().items())
    trained = f"trained on {images:,} images" + (f", {seconds:.0f} s" if seconds else "")
    reference = rows[0]
    return [
        f"## {net.title}, {data}", "",
        f"Reference: {trained}; {percent(reference.errors):.2f} % on test, {reference.figures['validation']:.2f} on "
        f"validation images. LC: {settings}.", "",
        f"![error against K, P and ρ]({figure})", "", *table(judged), "",
        "| what | method | test error, % | validation, % | ρ | ρ by codes | bytes | steps | images / reference's | "
        "seconds / reference's |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(row, images, seconds) for row in rows[1:]), "",
    ]  # fmt: skip


def _line(row: Row, images: int, seconds: float | None) -> str:
    """Return the line of a row."""
    assert row.setting is not None, "the reference has a line of its own"
    of = row.figures
    if "reason" in of:
        return f"| {row.setting.label} | {row.method} | {of['reason']} | | | | | | | |"
    longer = f"{of['seconds'] / seconds:.2f}" if seconds else f"{of['seconds']:.0f} s"
    cells = (
        row.setting.label, row.method, f"{percent(row.errors):.2f}", f"{of['validation']:.2f}", f"{of['rho']:.2f}",
        f"{of['published']:.2f}", f"{of['bytes']:,}", of["steps"], f"{of['images'] / images:.2f}", longer,
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"
