"""What is shown: a row for each network and number of epochs, the figure, and the verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.statement import Judged, growth, lies_below, table

_POINTS = 1.0
"""Of error above the whole network, that would be about as good."""


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A network after some epochs.

    Args:
        kind: "whole", "separable" or "shrunk".
        epochs: that it was taught.
        figures: multiply-adds, parameters, bytes, times.
        wrong: 1 for each test image that is taken for something else, shape (images,).
    """

    kind: str
    epochs: int
    figures: Mapping[str, Any]
    wrong: np.ndarray

    @property
    def error(self) -> float:
        """Test error in percent."""
        return 100 * float(self.wrong.mean())

    def milliseconds(self, images: int) -> float:
        """Return the time of so many images at a time."""
        return float(self.figures["ms"][str(images)][self.kind])

    def faster(self, images: int) -> float:
        """Return how many times faster than the whole network it is, called by turns with that."""
        return float(self.figures["ms"][str(images)]["whole"]) / self.milliseconds(images)

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {"network": self.kind, "epochs": self.epochs, "error": round(self.error, 2), **self.figures}


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return whether the separable network is better than the shrunk one, and as good as the whole one."""
    whole = rows[0]
    found = dict[tuple[str, int], Row]({(row.kind, row.epochs): row for row in rows})
    verdicts = list[Judged]()
    for epochs in sorted({row.epochs for row in rows[1:]}):
        low, high, words = growth(found["shrunk", epochs].wrong, found["separable", epochs].wrong, seed)
        text = f"after {epochs} epochs the separable network errs less than the shrunk one of as many multiply-adds"
        verdicts.append(Judged(text, "asked here", lies_below(low, high), words))
    last = max((row for row in rows if row.kind == "separable"), key=lambda row: row.epochs)
    low, high, words = growth(whole.wrong, last.wrong, seed)
    text = f"after {last.epochs} epochs it errs at most {_POINTS:g} point more than the whole network"
    verdicts.append(Judged(text, "asked here", lies_below(low - _POINTS, high - _POINTS), words))
    times = [last.faster(images) for images in (1, 32)]
    text = "the separable network is faster than the whole one in onnxruntime, for 1 and for 32 images"
    words = f"{times[0]:.2f} and {times[1]:.2f} times, at {_fewer(whole, last):.2f} times fewer multiply-adds"
    return [*verdicts, Judged(text, "asked here", "holds" if min(times) > 1 else "does not hold", words)]


def _fewer(whole: Row, row: Row) -> float:
    """Return how many times fewer multiply-adds a network has."""
    return float(whole.figures["multiply-adds"] / row.figures["multiply-adds"])


def page(rows: Sequence[Row], verdicts: Sequence[Judged], settings: Mapping[str, Any], scale: str) -> str:
    """Return the page.

    Args:
        rows: the whole network first.
        verdicts: on what is asked.
        settings: by name.
        scale: that was run.
    """
    said = "; ".join(f"{name}: {_listed(value)}" for name, value in settings.items())
    lines = [
        "# ResNet-20 as depthwise-separable", "",
        f"Scale {scale}. The published ResNet-20 of Idelbayev on CIFAR-10. All convolutions but the first become "
        "depthwise and pointwise ones, by least squares under what they read; beside it stands the same network with "
        "fewer channels, which the LC algorithm has chosen, at as many multiply-adds. The whole network teaches both. "
        f"{said}.", "",
        "Test images are read once a row. Times are of graphs in onnxruntime, for 1 and 32 images,",
        "called by turns with the whole network; bytes are those of lossless files.", "",
        "| network | epochs | test error, % | multiply-adds | parameters | bytes | ms, 1 | 32 | faster, 1 | 32 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows:
        own = row.figures
        lines.append(
            f"| {row.kind} | {row.epochs} | {row.error:.2f} | {own['multiply-adds']:,} | {own['parameters']:,} | "
            f"{own['bytes']:,} | {row.milliseconds(1):.3f} | {row.milliseconds(32):.2f} | {row.faster(1):.2f} | "
            f"{row.faster(32):.2f} |"
        )
    return "\n".join([*lines, "", "![error against epochs](separable.png)", "", *table(verdicts), ""])


def figure(rows: Sequence[Row]) -> Figure:
    """Return test error against epochs of teaching."""
    drawn = Figure(figsize=(6, 4), layout="constrained")
    axes = drawn.subplots()
    axes.axhline(rows[0].error, color="0.5", lw=1, label="whole")
    for kind in dict.fromkeys(row.kind for row in rows[1:]):
        own = [row for row in rows if row.kind == kind]
        axes.plot([row.epochs for row in own], [row.error for row in own], "o-", label=kind)
    axes.set(xlabel="epochs of teaching", ylabel="test error, %", title="ResNet-20, CIFAR-10, as many multiply-adds")
    axes.set_xscale("symlog", linthresh=1)
    axes.legend(fontsize="small")
    axes.grid(visible=True, lw=0.3)
    return drawn


def _listed(value: Any) -> str:
    """Return settings in a few words."""
    return ", ".join(f"{key} {one:g}" for key, one in value.items()) if isinstance(value, Mapping) else str(value)
