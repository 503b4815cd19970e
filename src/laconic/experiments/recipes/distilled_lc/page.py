"""The page: a row for each setting and method, the verdicts, and the figure of what a teacher says at several τ."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.distilled_lc.runs import METHODS, TAUGHT, Row
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.statement import Judged, growth, percent, table
from laconic.experiments.recipes.verdict import Answer

TEMPERATURES = (1, 2, 4, 8, 16)


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return for each setting whether LC has fewer test errors with its teacher, means over the seeds.

    Args:
        rows: of all seeds.
        seed: of the bootstrap over test samples.
    """
    verdicts, (plain, taught) = [], METHODS
    for label in _labels(rows)[1:]:
        before, after = (
            np.mean([one.errors for one in _of(rows, label, method)], axis=0) for method in (plain, taught)
        )
        low, high, words = growth(before, after, seed)
        answer: Answer = "holds" if high < 0 else "does not hold" if low > 0 else "undecided"
        text = f"{label}: fewer test errors with distillation from the reference"
        verdicts.append(Judged(text, "not said in print", answer, words))
    return verdicts


def page(
    title: str, data: str, effort: Effort, rows: Sequence[Row], verdicts: Sequence[Judged], picture: str
) -> str:  # fmt: skip
    """Return the page.

    Args:
        title: of the network.
        data: name of the data set.
        effort: how LC was run.
        rows: of all seeds.
        verdicts: on them.
        picture: name of the figure's file.
    """
    seeds = sorted({row.seed for row in rows})
    settings = ", ".join(f"{key} {value}" for key, value in effort.record().items())
    lines = [
        "# LC with distillation from the reference", "",
        f"{title} on {data}, seeds {', '.join(map(str, seeds))} of first weights and batches. The original of each "
        f"network is its teacher: α {TAUGHT.alpha:g}, β {TAUGHT.beta:g}, τ {TAUGHT.temperature:g}, the second term "
        f"times τ². Both methods have the same steps, batches and seeds. LC: {settings}; within a size each step has "
        "400 batches at least. Nothing is tuned on test images, which are read once a row.", "",
        "| setting | method | bytes, mean | test error, %, by seed | mean | validation, %, mean | seconds, mean |",
        "|---|---|---:|---|---:|---:|---:|",
    ]  # fmt: skip
    for label in _labels(rows):
        for method in ("", *METHODS):
            if own := _of(rows, label, method):
                lines.append(_line(label, method, own))
    lines += ["", *table(verdicts), ""]
    lines += [
        "Gaps are in points of error, distilled less plain. The bootstrap is over test samples, whose errors are means "
        "over the seeds: it does not know how seeds differ.", "",
        "What the first reference says of a validation image of which it is as sure as of half of those it names "
        "rightly, at several temperatures:", "", f"![softened outputs]({picture})", "",
    ]  # fmt: skip
    return "\n".join(lines)


def figure(logits: np.ndarray, title: str) -> Figure:
    """Return σ(z/τ) of one sample at several τ, as bars by class.

    Args:
        logits: z, shape (classes,).
        title: whose they are.
    """
    drawn = Figure(figsize=(11, 2.8), layout="constrained")
    for axes, tau in zip(drawn.subplots(1, len(TEMPERATURES), sharey=True), TEMPERATURES, strict=True):
        scaled = np.exp((logits - logits.max()) / tau)
        shares = scaled / scaled.sum()
        axes.bar(np.arange(len(shares)), shares)
        entropy = -float((shares * np.log2(np.maximum(shares, 1e-300))).sum())
        axes.set(title=f"τ = {tau}: {entropy:.2f} bit", xlabel="class", xticks=np.arange(len(shares)), ylim=(0, 1))
    drawn.axes[0].set_ylabel("σ(z/τ)")
    drawn.suptitle(title)
    return drawn


def _line(label: str, method: str, own: Sequence[Row]) -> str:
    """Return a line of the table."""
    errors = [percent(row.errors) for row in own]
    sizes = [row.figures["bytes"] for row in own if "bytes" in row.figures]
    seconds = [row.figures["seconds"] for row in own if "seconds" in row.figures]
    cells = (
        label, method or "–", f"{round(sum(sizes) / len(sizes)):,}" if sizes else "–",
        ", ".join(f"{error:.2f}" for error in errors), f"{np.mean(errors):.2f}",
        f"{np.mean([row.figures['validation'] for row in own]):.2f}", f"{np.mean(seconds):.0f}" if seconds else "–",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _labels(rows: Sequence[Row]) -> list[str]:
    """Return the settings in order, the reference first."""
    return list(dict.fromkeys(row.label for row in rows))


def _of(rows: Sequence[Row], label: str, method: str) -> list[Row]:
    """Return the rows of a setting by a method, seed by seed."""
    return [row for row in rows if (row.label, row.method) == (label, method)]
