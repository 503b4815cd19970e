"""What is shown: a row for each network and file, the figure, and whether the compact network is the better one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.statement import Judged, growth, lies_below, table

COMPACT, LARGE = "mobilenet-v2-0.5-cifar", "resnet20"
NETS = {COMPACT: "MobileNetV2, width 0.5", LARGE: "ResNet-20"}
"""Name → title; the compact one first."""

WAYS = ("direct", "calibrate", "LC")
_STROKES = {"direct": ":", "calibrate": "--", "LC": "-"}


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A network, as it was trained or within a size.

    Args:
        net: its name.
        way: "as trained", or of `WAYS`.
        size: bytes that were asked; None as it was trained.
        figures: bytes, multiply-adds, seconds; "why not" where there is no such file.
        wrong: 1 for each test image that is taken for something else, shape (images,); None where there is no file.
    """

    net: str
    way: str
    size: int | None
    figures: Mapping[str, Any]
    wrong: np.ndarray | None

    @property
    def error(self) -> float | None:
        """Test error in percent."""
        return None if self.wrong is None else 100 * float(self.wrong.mean())

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        error = None if self.error is None else round(self.error, 2)
        return {"network": self.net, "way": self.way, "size": self.size, "error": error, **self.figures}


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return whether the compact network is better: as trained, by each way at each size, and the best at each."""
    found = {(row.net, row.way, row.size): row for row in rows}
    verdicts = [_compared("as trained", found[COMPACT, "as trained", None], found[LARGE, "as trained", None], seed)]
    for size in sorted({row.size for row in rows if row.size}, reverse=True):
        for way in WAYS:
            of = found[COMPACT, way, size], found[LARGE, way, size]
            verdicts.append(_compared(f"within {size:,} bytes by {way}", *of, seed))
        best, other = (
            min(
                (row for row in rows if (row.net, row.size) == (net, size)),
                key=lambda row: np.inf if row.error is None else row.error,
            )
            for net in NETS
        )
        verdicts.append(_compared(f"within {size:,} bytes, each by its best way", best, other, seed))
    return verdicts


def _compared(where: str, compact: Row, large: Row, seed: int) -> Judged:
    """Return whether the compact network errs less."""
    text = f"{where}: the compact network errs less than the large one"
    if compact.wrong is None or large.wrong is None:
        without = [NETS[row.net] for row in (compact, large) if row.wrong is None]
        return Judged(text, "asked here", "not measured", f"no such file of {' or '.join(without)}")
    low, high, words = growth(large.wrong, compact.wrong, seed)
    return Judged(text, "asked here", lies_below(low, high), words)


def page(rows: Sequence[Row], verdicts: Sequence[Judged], settings: Mapping[str, Any], scale: str) -> str:
    """Return the page.

    Args:
        rows: of both networks.
        verdicts: on what is asked.
        settings: by name.
        scale: that was run.
    """
    said = "; ".join(f"{name}: {_listed(value)}" for name, value in settings.items())
    lines = [
        "# Compact, then compressed", "",
        f"Scale {scale}. {' and '.join(NETS.values())} on CIFAR-10, trained from fresh weights alike, and compressed "
        f"to the same bytes by weights alone (direct), by what layers read (calibrate) and by training (LC). {said}.",
        "", "Test images are read once a row. Files are whole files, everything counted.", "",
        "| network | way | asked, bytes | file, bytes | multiply-adds | test error, % |",
        "|---|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows:
        size, made = ("–" if value is None else f"{value:,}" for value in (row.size, row.figures.get("bytes")))
        error = "–" if row.error is None else f"{row.error:.2f}"
        lines.append(f"| {NETS[row.net]} | {row.way} | {size} | {made} | {row.figures['multiply-adds']:,} | {error} |")
    missing = [f"- {NETS[row.net]}, {row.way}, {row.size:,} bytes: {row.figures['why not']}"
               for row in rows if row.wrong is None]  # fmt: skip
    missing = ["", "Files that there are not, and why:", "", *missing] if missing else []
    return "\n".join([*lines, *missing, "", "![error against bytes, and against multiply-adds](compact-first.png)", "",
                      *table(verdicts), ""])  # fmt: skip


def figure(rows: Sequence[Row]) -> Figure:
    """Return test error against bytes and against multiply-adds."""
    drawn = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    for number, net in enumerate(NETS):
        whole = next(row for row in rows if (row.net, row.way) == (net, "as trained"))
        left.axhline(whole.error or 0, color=f"C{number}", lw=0.5)
        right.plot(whole.figures["multiply-adds"] / 1e6, whole.error, "o", color=f"C{number}", mfc="none", ms=10)
        for way in WAYS:
            own = [row for row in rows if (row.net, row.way) == (net, way) and row.wrong is not None]
            own = sorted(own, key=lambda row: row.figures["bytes"])
            kilobytes = [row.figures["bytes"] / 1000 for row in own]
            errors = [row.error for row in own]
            left.plot(kilobytes, errors, f"o{_STROKES[way]}", color=f"C{number}", label=f"{NETS[net]}, {way}")
            right.plot([row.figures["multiply-adds"] / 1e6 for row in own], errors, "x", color=f"C{number}")
    left.set(xlabel="file, kB", ylabel="test error, %", title="CIFAR-10; lines: as trained")
    right.set(xlabel="multiply-adds of an image, millions", title="rings: as trained; crosses: files")
    left.legend(fontsize="x-small")
    for axes in (left, right):
        axes.grid(visible=True, lw=0.3)
    return drawn


def _listed(value: Any) -> str:
    """Return settings in a few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(f"{one:,}" for one in value) if isinstance(value, list) else str(value)
