"""The page: for each network a row for each setting and method, and whether LC is ahead of each."""

from collections.abc import Sequence

import numpy as np

from laconic.experiments.recipes.distilled_lc.runs import Row
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.lc_rivals.settings import METHODS, ROUNDS, Setting
from laconic.experiments.recipes.statement import Judged, growth, lies_below, percent, table


def judged(rows: Sequence[Row], settings: Sequence[Setting], seed: int) -> list[Judged]:
    """Return for each setting and rival whether LC has fewer test errors, means over the seeds.

    Args:
        rows: of all seeds.
        settings: that were compared.
        seed: of the bootstrap over test samples.
    """
    verdicts = []
    for setting in settings:
        ours, *others = METHODS[setting.family]
        own = np.mean([row.errors for row in of(rows, setting.label, ours)], axis=0)
        for other in others:
            theirs = np.mean([row.errors for row in of(rows, setting.label, other)], axis=0)
            low, high, words = growth(theirs, own, seed)
            text = f"{setting.label}: LC is ahead of {other}"
            verdicts.append(Judged(text, "not said in print", lies_below(low, high), words))
    return verdicts


def network(
    title: str, data: str, effort: Effort, rows: Sequence[Row], settings: Sequence[Setting],
    verdicts: Sequence[Judged],
) -> list[str]:  # fmt: skip
    """Return the lines on one network.

    Args:
        title: its name.
        data: name of the data set.
        effort: how methods were run.
        rows: of all seeds.
        settings: that were compared.
        verdicts: on them.
    """
    seeds = sorted({row.seed for row in rows})
    how = ", ".join(f"{key} {value}" for key, value in effort.record().items())
    lines = [
        f"## {title} on {data}", "",
        f"Seeds {', '.join(map(str, seeds))} of first weights and batches. {how}.", "",
        "| setting | method | bytes, mean | multiply-adds | test error, %, by seed | mean | validation, % | seconds |",
        "|---|---|---:|---:|---|---:|---:|---:|",
    ]  # fmt: skip
    lines.append(_line("uncompressed", "", of(rows, "uncompressed", "")))
    for setting in settings:
        lines += [_line(setting.label, method, of(rows, setting.label, method)) for method in METHODS[setting.family]]
    return [*lines, "", *table(verdicts), ""]


def title() -> list[str]:
    """Return the lines before the networks."""
    return [
        "# LC and its rivals at equal epochs", "",
        "Every method has the same reference, batches, epochs and seeds, SGD at the same rates, and the same "
        "fine-tuning of what is free at the end; magnitude pruning has all its epochs there. Rounds of pruning are "
        f"{ROUNDS}, each of as many epochs; neurons and filters take along what goes with them, and bytes and "
        "multiply-adds are those of the network without them. Nothing is tuned on test images, which are read once a "
        "row, nor any rate for one method alone.", "",
        "Gaps are in points of error, LC less the other. The bootstrap is over test samples, whose errors are means "
        "over the seeds: it does not know how seeds differ.", "",
    ]  # fmt: skip


def of(rows: Sequence[Row], label: str, method: str) -> list[Row]:
    """Return the rows of a setting by a method, seed by seed."""
    return [row for row in rows if (row.label, row.method) == (label, method)]


def _line(label: str, method: str, own: Sequence[Row]) -> str:
    """Return a line of the table."""
    errors = [percent(row.errors) for row in own]
    cells = [label, method or "–"]
    for name, form in (("bytes", ",.0f"), ("multiply-adds", ",.0f")):
        known = [row.figures[name] for row in own if name in row.figures]
        cells.append(format(np.mean(known), form) if known else "–")
    cells += [", ".join(f"{error:.2f}" for error in errors), f"{np.mean(errors):.2f}"]
    cells.append(f"{np.mean([row.figures['validation'] for row in own]):.2f}")
    seconds = [row.figures["seconds"] for row in own if "seconds" in row.figures]
    cells.append(f"{np.mean(seconds):.0f}" if seconds else "–")
    return f"| {' | '.join(cells)} |"
