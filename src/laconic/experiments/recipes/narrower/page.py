"""What is shown: a row for each width, the figure, and the verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from laconic.experiments.recipes.statement import Judged, growth, table
from laconic.experiments.recipes.verdict import Answer

_AIMS = ((0.5, 3.0, "published at that cost: 2.7"), (1.0, 1.0, "any width"))
"""(channels that stay at most, points of error at most, where that comes from)."""

_FASTER = 2.3
"""Of half of the channels, in onnxruntime, for 1 and for 32 samples at a time."""


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A network of some width.

    Args:
        label: names it.
        share: of the channels.
        figures: multiply-adds, parameters, times.
        wrong: 1 for each test image that is taken for something else, shape (images,).
    """

    label: str
    share: float
    figures: Mapping[str, Any]
    wrong: np.ndarray

    @classmethod
    def of(cls, label: str, share: float, figures: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Row":
        """Return the row of what a cache has kept."""
        return cls(label, share, figures, (tensors["wrong"].numpy() > 0).astype(np.float64))

    @property
    def error(self) -> float:
        """Test error in percent."""
        return 100 * float(self.wrong.mean())

    def faster(self, samples: int) -> float:
        """Return how many times faster it is than the whole network."""
        return float(self.figures["times"][str(samples)]["times faster"])

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        kept = {name: value for name, value in self.figures.items() if name != "edits"}
        return {"label": self.label, "share": self.share, "error": round(self.error, 2), **kept}


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return what became of each aim."""
    whole, *narrow = rows
    found = list[Judged]()
    for share, points, source in _AIMS:
        own = [row for row in narrow if row.share <= share]
        text = (
            f"{'half' if share == 0.5 else 'some'} of the channels: at most {points:g} points above the whole network"
        )
        gaps = {row.label: growth(whole.wrong, row.wrong, seed) for row in own}
        best = min(gaps, key=lambda label: gaps[label][1])
        low, high, words = gaps[best]
        answer: Answer = "holds" if high <= points else "does not hold" if low > points else "undecided"
        found.append(Judged(text, source, answer, f"{best}: {words}"))
    half = [row for row in narrow if row.share == 0.5]
    for row in half:
        times = [row.faster(samples) for samples in (1, 32)]
        text = f"half of the channels: {_FASTER} times faster in onnxruntime, for 1 and for 32 samples"
        words = f"{times[0]:.2f} and {times[1]:.2f} times"
        found.append(Judged(text, "asked for", "holds" if min(times) >= _FASTER else "does not hold", words))
    return found


def page(
    rows: Sequence[Row], longer: Sequence[Row], verdicts: Sequence[Judged], settings: Mapping[str, Any], scale: str
) -> str:
    """Return the page.

    Args:
        rows: the whole network and the narrower ones.
        longer: some of these, taught for more epochs.
        verdicts: on the aims.
        settings: by name.
        scale: that was run.
    """
    said = "; ".join(f"{name}: {_listed(value)}" for name, value in settings.items())
    lines = [
        "# ResNet-20 with fewer channels", "",
        f"Scale {scale}. The published ResNet-20 of Idelbayev on CIFAR-10. The LC algorithm chooses which channels "
        "stay, all tensors that they lie in together and anew in each C step; what is empty is cut out; what is left "
        f"is trained with the whole network for a teacher. {said}.", "",
        "Test images are read once a row. Times are of graphs in onnxruntime, called by turns with the whole network,",
        "one sample at a time and 32.", "",
        "| network | multiply-adds | parameters | test error, % | as it is cut, % | times faster, 1 | 32 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows:
        cut, adds = row.figures.get("error as it is cut"), row.figures.get("multiply-adds")
        before = f"{'–' if adds is None else f'{adds:,}'} | {row.figures['parameters']:,}"
        after = f"{row.error:.2f} | {'–' if cut is None else f'{cut:.2f}'} | {row.faster(1):.2f} | {row.faster(32):.2f}"
        lines.append(f"| {row.label} | {before} | {after} |")
    if longer:
        lines += ["", "What limits the error: the same networks taught for more epochs.", ""]
        lines += ["| channels | epochs | test error, % |", "|---|---:|---:|"]
        again = {row.share for row in longer}
        for row in sorted((*rows, *longer), key=lambda row: (-row.share, row.figures.get("epochs", 0))):
            if row.share in again:
                lines.append(f"| {row.share:g} | {row.figures['epochs']} | {row.error:.2f} |")
    return "\n".join([*lines, "", "![error against time](narrower.png)", "", *table(verdicts), ""])


def figure(rows: Sequence[Row]) -> Figure:
    """Return test error against the time of one sample, that of the whole network being 1."""
    drawn = Figure(figsize=(6, 4), layout="constrained")
    axes = drawn.subplots()
    ordered = sorted(rows, key=lambda row: row.share)
    times = [1.0 if row.share == 1 else 1 / row.faster(1) for row in ordered]
    axes.plot(times, [row.error for row in ordered], "o")
    for row, at in zip(ordered, times, strict=True):
        axes.annotate(row.label, (at, row.error), (0, 8), textcoords="offset points", ha="center", fontsize="small")
    axes.set(xlabel="time of one sample in onnxruntime, whole network 1", ylabel="test error, %")
    axes.set_title("ResNet-20, CIFAR-10")
    axes.margins(x=0.3, y=0.2)
    axes.grid(visible=True, lw=0.3)
    return drawn


def _listed(value: Any) -> str:
    """Return settings in a few words."""
    return ", ".join(f"{key} {one:g}" for key, one in value.items()) if isinstance(value, Mapping) else str(value)
