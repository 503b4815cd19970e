"""The page of a run, in Markdown."""

from collections.abc import Mapping, Sequence

from laconic.experiments.recipes.gao2019.methods import METHODS
from laconic.experiments.recipes.gao2019.points import TECHNIQUES
from laconic.experiments.recipes.gao2019.study import Study
from laconic.experiments.recipes.verdict import Claim, Verdict

_TITLE = "Gao, Liu, Wang & Oh, “Rate distortion for model compression: from theory to practice” (ICML 2019)"


def page(name: str, studies: Sequence[Study], figures: Mapping[str, Sequence[str]]) -> str:
    """Return the page.

    Args:
        name: of the recipe.
        studies: one for each network.
        figures: file names by the label of the network.
    """
    lines = [f"# {name}", "", _TITLE + ". No retraining; the same share kept, or number of clusters, in every layer."]
    for study in studies:
        lines += ["", f"## {study.subject.label}", "", study.subject.note, "", *_settings(study), ""]
        lines += _verdicts(study)
        for technique in TECHNIQUES:
            lines += ["", f"### {technique.capitalize()}", "", *_curves(study, technique)]
        lines += ["", *(f"![{file}]({file})" for file in figures[study.subject.label])]
    return "\n".join(lines) + "\n"


def _settings(study: Study) -> list[str]:
    """Return what the figures depend on."""
    settings, figures = study.subject.settings, study.reference.figures
    of = {"samples": "training images", "validation": "validation images", "test": "test images"}
    counts = ", ".join(f"{getattr(settings, key) or 'all'} {text}" for key, text in of.items())
    drawn = "summed over all classes" if settings.draws is None else f"with {settings.draws} drawn label(s) an image"
    rule = "accuracy at each point" if settings.each else f"mean accuracy at {_anchors(study)}"
    lines = [
        f"Uncompressed: accuracy {figures['accuracy']:.2%}, cross entropy {figures['loss']:.4f} nats on test images.",
        f"Importances from {counts.split(',')[0]}, the unsupervised one and the Hessian {drawn}; choices on"
        f"{counts.split(',')[1]}, by {rule}; curves on{counts.split(',')[2]}.",
        "",
    ]
    for choice in study.choices.values():
        symbol = "T" if choice.option == "temperature" else "μ"
        choices = list(choice.chosen.values())
        shown = ", ".join(f"{setting:.3g}" for setting in (choices if settings.each else choices[:1]))
        lines.append(f"- {choice.technique}, {choice.method}: {symbol} = {shown}")
    lines += [f"- {technique}, {method}: no curve. {text}" for (technique, method), text in study.skipped.items()]
    return lines


def _anchors(study: Study) -> str:
    """Return the points of comparison in words."""
    anchors = study.subject.settings.anchors.items()
    return " and ".join(f"{TECHNIQUES[t].strength} {', '.join(f'{v:g}' for v in values)}" for t, values in anchors)


def _verdicts(study: Study) -> list[str]:
    """Return the table of the claims."""
    heading = "### The paper's claims" if study.subject.published else "### The paper's claims, on a network of ours"
    heading += f", at scale {study.subject.scale.name}" if study.subject.scale else ""
    rows = []
    for (technique, claim), verdict in study.verdicts.items():
        answer = f"**{verdict.answer}**" if study.subject.published else verdict.answer
        rows.append(f"| {claim.text} | {technique} | {answer} | {_detail(claim, verdict)} |")
    lines = [heading, ""]
    if not study.subject.published:
        lines += ["This is not the paper's network: what does not hold here says nothing against the paper.", ""]
    return [
        *lines,
        "Below and above: at so many ratios beyond chance, by a paired bootstrap over the test images (intervals that",
        "hold all together with 95 %). *At every ratio* holds when below at all of them, other claims when below at",
        "more than above.",
        "",
        "| claim | technique | here | below, above, of | mean gap, smallest and largest | interval of the largest |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _detail(claim: Claim, verdict: Verdict) -> str:
    """Return the last three cells of a row."""
    if not verdict.gaps:
        return "– | – | –"
    top = max(range(len(verdict.gaps)), key=lambda place: verdict.gaps[place])
    unit = "nats" if claim.measure == "loss" else "of the images"
    counts = f"{verdict.below}, {verdict.above}, {len(verdict.gaps)}"
    means = f"{min(verdict.gaps):+.4f}, {verdict.gaps[top]:+.4f} {unit}"
    return f"{counts} | {means} | {verdict.low[top]:+.4f} to {verdict.high[top]:+.4f}, at {verdict.shares[top]:.1%}"


def _curves(study: Study, technique: str) -> list[str]:
    """Return the table of one technique: ratio as the paper counts, bytes of our file, accuracy and cross entropy."""
    methods = [name for name in METHODS if (technique, name) in study.curves]
    values = [point.figures["value"] for point in study.curves[technique, methods[0]]]
    lines = [
        f"Accuracy in percent, cross entropy in nats, size as the paper counts (r) and bytes of our file, by "
        f"{TECHNIQUES[technique].strength}.",
        "",
        f"| {TECHNIQUES[technique].strength} | " + " | ".join(methods) + " |",
        "|---:|" + "---|" * len(methods),
    ]
    for row, value in enumerate(values):
        cells = []
        for method in methods:
            figures = study.curves[technique, method][row].figures
            size = f"r {figures['share']:.2%}, {figures['file_bytes']:,} B"
            cells.append(f"{figures['accuracy']:.2%}, {figures['loss']:.4f}; {size}")
        lines.append(f"| {value:g} | " + " | ".join(cells) + " |")
    return lines
