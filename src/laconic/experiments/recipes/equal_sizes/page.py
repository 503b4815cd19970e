"""The page of the recipe, in Markdown."""

from collections.abc import Sequence

from laconic.experiments.recipes.equal_sizes.claims import Judged
from laconic.experiments.recipes.equal_sizes.kmeans_starts import Start
from laconic.experiments.recipes.equal_sizes.measurements import Measurement
from laconic.experiments.recipes.equal_sizes.subject import Subject

_HOW = """\
Each technique has one parameter that is free; it is searched until the file, entropy-coded and with everything
counted, is as near each size as it can be, from below. Every matrix is compressed, biases stay lossless. Where a
technique leaves few numbers, pruned or factored, and takes a compression of them, they get 16 values (`codebook = 16`
in the row): 32 bits each would leave it far above these sizes. The last layer of filters, heads and neurons keeps its
outputs and gets 16 values. A file of less than 80 % of the size, or above it, does not reach it, and is put in
brackets; LC is not tried there, but for prices. For LC the parameter is searched anew, by few runs. Nothing else is
tuned; verdicts take the best of several techniques by their validation error. Test images are read once a row.
"rank after" a training is that under a price on singular values, from the reference and for as many epochs as LC has,
then truncation; under LC stands truncation with LC's fine-tuning. Validation images choose among the prices.
"choose" is no technique but a choice among them for each tensor (`--choose`), biases too: direct, by the errors of the
weights; under LC, by the KL on inputs before it."""


def page(
    subject: Subject, reference: float, rows: Sequence[Measurement], starts: Sequence[Start], judged: Sequence[Judged],
    figure: str,
) -> str:  # fmt: skip
    """Return the page.

    Args:
        subject: the network.
        reference: its test error, in percent.
        rows: of the table.
        starts: of k-means.
        judged: the statements.
        figure: name of its file.
    """
    learning, images = subject.effort.learning, subject.effort.images
    lines = [
        "# Every technique at the same sizes", "", f"{subject.label}. {subject.note} Test error {reference:.2f} %.", "",
        *_HOW.split("\n"),
        f"LC: at most {learning.steps} steps of {learning.l_step.epochs} epoch(s) on {images:,} training images, "
        f"then {learning.finetune.epochs} epochs of fine-tuning: a short schedule, longer ones do better.", "",
        f"![error against bytes]({figure})", "", "## Statements of the sources", "", *_statements(judged),
        "", "## Error at each size", "", *_overview(rows, subject.effort.targets),
        "", "## Every file", "", *_files(rows),
        *(("", "## Starts of k-means", "", *_starts(starts)) if starts else ()),
        "", "## Share of each layer that is kept", "", *_kept(rows),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _statements(judged: Sequence[Judged]) -> list[str]:
    """Return the table of the verdicts."""
    lines = [
        "Below and above: at so many places, of all that both sides reach, the first has the lower or the higher error",
        "beyond chance (paired bootstrap over the test images, intervals that hold all together with 95 %). A",
        "statement holds when below at more than above. Gaps are in points of error, or of the share that is kept.",
        "",
        "| statement | files | here | below, above, of | gaps | by |",
        "|---|---|---|---|---|---|",
    ]
    for one in judged:
        verdict = one.verdict
        counts = f"{verdict.below}, {verdict.above}, {len(verdict.gaps)}" if verdict.gaps else "–"
        gaps = ", ".join(
            f"{place:,.0f}: {100 * gap:+.2f}" for place, gap in zip(verdict.shares, verdict.gaps, strict=True)
        )
        by = "; ".join(dict.fromkeys(f"{better} / {worse}" for better, worse in one.pairs)) or "–"
        lines.append(f"| {one.text} | {one.method} | **{verdict.answer}** | {counts} | {gaps or '–'} | {by} |")
    return lines


def _overview(rows: Sequence[Measurement], targets: Sequence[int]) -> list[str]:
    """Return errors by setting, size and method."""
    row_of = {(row.setting.label, row.method, row.target): row for row in rows}
    heads = [f"{target:,} B, {method}" for target in targets for method in ("direct", "LC")]
    lines = [f"| technique | family | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    for name, family in dict.fromkeys((row.setting.label, row.setting.family) for row in rows):
        cells = [_error(row_of.get((name, method, target))) for target in targets for method in ("direct", "LC")]
        lines.append(f"| {name} | {family} | {' | '.join(cells)} |")
    return lines


def _error(row: Measurement | None) -> str:
    """Return a cell: the error, in brackets where the size is not reached."""
    if row is None or "reason" in row.figures:
        return "–"
    return f"{row.figures['error']:.2f}" if row.reached else f"({row.figures['error']:.2f})"


def _files(rows: Sequence[Measurement]) -> list[str]:
    """Return the table of everything, and the reasons of what there is not."""
    lines = [
        "| technique | size | method | row of the plan | bytes | test error, % | validation error, % | seconds |",
        "|---|---:|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        figures = row.figures
        if "reason" not in figures:
            size = f"{figures['bytes']:,}" if row.reached else f"({figures['bytes']:,})"
            lines.append(
                f"| {row.setting.label} | {row.target:,} | {row.method} | `{figures['row']}` | {size} | "
                f"{figures['error']:.2f} | {figures['validation']:.2f} | {figures['seconds']:.1f} |"
            )
    reasons = dict.fromkeys(
        (row.setting.label, row.method, row.figures["reason"]) for row in rows if "reason" in row.figures
    )
    lines += ["", *(f"- {label}, {method}: {reason}" for label, method, reason in reasons)]
    return lines


def _starts(starts: Sequence[Start]) -> list[str]:
    """Return the table of the starts."""
    names = dict.fromkeys(start.start for start in starts)
    lines = [f"| values a layer | method | {' | '.join(names)} |", "|---:|---|" + "---:|" * len(names)]
    for values, method in dict.fromkeys((start.values, start.method) for start in starts):
        cells = [f"{100 * s.errors.mean():.2f}" for s in starts if (s.values, s.method) == (values, method)]
        lines.append(f"| {values} | {method} | {' | '.join(cells)} |")
    return ["Test error in percent, of the random start the mean of three draws.", "", *lines]


def _kept(rows: Sequence[Measurement]) -> list[str]:
    """Return the shares kept under one constraint for all layers."""
    shown = [row for row in rows if row.setting.technique == "keep" and row.reached]
    if not shown:
        return ["No pruned file reaches a size."]
    names = list(shown[0].figures["kept"])
    lines = [f"| technique | method | size | {' | '.join(names)} |", "|---|---|---:|" + "---:|" * len(names)]
    for row in shown:
        cells = [f"{row.figures['kept'][name]:.2%}" for name in names]
        lines.append(f"| {row.setting.label} | {row.method} | {row.target:,} | {' | '.join(cells)} |")
    return lines
