"""What compression has changed: files beside a bound, weights before and after, layers that are to blame, a run."""

import math

from laconic.insight.comparison import Change, Filters
from laconic.insight.report import Damage, Path, Plane, Report
from laconic.page.charts import Mark, bar, histogram, plane
from laconic.page.document import Column, Section, empty, folded, paragraph, table
from laconic.page.pictures import source
from laconic.page.words import breaking, figures, in_bytes, percent, safe

HISTOGRAMS = 12
"""That are shown at once; the others on demand."""

_MOST = 120  # histograms of a page
_KINDS = {"file": "this file", "other": "other files", "round to nearest": "round to nearest, fixed length",
          "plain grid": "plain grid, ideal entropy coder"}  # fmt: skip
_CLASSES = {"file": "file", "other": "other", "round to nearest": "nearest", "plain grid": "grid"}


def error(report: Report) -> Section:
    """Return the file beside the bound, and the error of each tensor."""
    if not report.changes and not report.planes:
        return Section("error", "What was lost", _nothing(report, "error"))
    body = f'<div class="pair">{"".join(map(plane_of, report.planes))}</div>' if report.planes else ""
    if missing := report.missing.get("error"):
        body += empty(missing)
    changed = sorted((one for one in report.changes if one.error > 0), key=lambda one: -one.error)
    if changed:
        columns = [Column("Tensor", right=False), Column("", right=False), Column("Share of the squared error"),
                   Column("Σ (w − ŵ)²", spare=True), Column("SNR, dB")]  # fmt: skip
        longest = changed[0].share or 1.0
        rows = [
            (breaking(one.name), bar([("coded", 0.0, one.share / longest)]), percent(one.share), figures(one.error),
             figures(one.snr))
            for one in changed
        ]  # fmt: skip
        body += folded(
            f"Error of {len(rows):,} tensors", table("Error of tensors, the largest first", columns, rows, kind="bars")
        )
    return Section("error", "What was lost", body)


def _nothing(report: Report, part: str) -> str:
    """Return what stands where no tensor has changed: the option that would tell, or that none has."""
    missing = report.missing.get(part)
    return empty(missing) if missing else paragraph("All tensors are what they are in the checkpoint.")


def plane_of(one: Plane) -> str:
    """Return a plane with the table of what lies in it."""
    there = {dot.kind for dot in one.dots}
    kinds = {_CLASSES[kind]: text for kind, text in _KINDS.items() if kind in there and len(there) > 1}
    marks = [
        Mark(dot.label if dot.kind in ("file", "other") else "", dot.x, dot.y, _CLASSES[dot.kind]) for dot in one.dots
    ]
    drawn = plane(one.title, (one.x, one.y), one.curves, marks, logarithmic=one.logarithmic, kinds=kinds)
    columns = [Column("", right=False), Column(one.x), Column(one.y)]
    rows = [(safe(dot.label), figures(dot.x, 4), figures(dot.y, 4)) for dot in one.dots]
    rows += [
        (safe(name), figures(x, 4), figures(y, 4))
        for name, places in one.curves.items()
        for x, y in places[:: max(1, len(places) // 8)]
    ]
    return f"<div>{drawn}{folded('The same as a table', table(one.title, columns, rows))}</div>"


def weights(report: Report) -> Section:
    """Return filters of the first layer, and histograms of the weights."""
    known = [one for one in report.changes if one.histogram is not None and one.error > 0]
    if not known and report.filters is None:
        return Section("weights", "Weights before and after", _nothing(report, "weights"))
    sizes = {piece.entry.name: piece.entry.bytes for piece in report.pieces}
    ranked = sorted(known, key=lambda one: -sizes.get(one.name, 0))[:_MOST]
    shown, others = ranked[:HISTOGRAMS], ranked[HISTOGRAMS:]
    body = _filters(report.filters) if report.filters else ""
    if shown:
        body += paragraph(
            "The line is the checkpoint, what is filled the file; bars that reach the top go on. Each axis is as wide "
            "as all but a thousandth of the weights on either side."
        )
        body += f'<div class="grid">{"".join(map(_histogram, shown))}</div>'
    if others:
        body += folded(f"{len(others)} more", f'<div class="grid">{"".join(map(_histogram, others))}</div>')
    return Section("weights", "Weights before and after", body)


def _histogram(one: Change) -> str:
    """Return the histograms of a weight with its name."""
    spread = one.histogram
    assert spread is not None, "only such are shown"
    what = f"Histogram of {one.name}, from {figures(spread.low)} to {figures(spread.high)}, before and after"
    snr = "" if one.snr is None else f"{figures(one.snr)} dB"
    drawn = histogram(spread.before, spread.after, what)
    ends = f"<span>{figures(spread.low, 2)}</span><span>{figures(spread.high, 2)}</span>"
    caption = f"<figcaption>{breaking(one.name)}<span>{snr}</span></figcaption>"
    return f'<figure>{drawn}<p class="ends">{ends}</p>{caption}</figure>'


def _filters(one: Filters) -> str:
    """Return filters in pairs, before above after."""
    pairs = "".join(
        f'<span><img src="{source(old)}" alt="filter {number} before"><img src="{source(new)}" alt="and after"></span>'
        for number, (old, new) in enumerate(zip(one.before, one.after, strict=True))
    )
    said = f"Filters of {one.name}: above of the checkpoint, below of the file; of one or of three colours, grey is 0."
    return f'<p>{safe(said)}</p><div class="filters">{pairs}</div>'


def damage(report: Report) -> Section:
    """Return the layers that have moved the outputs, and the rows that would mend them."""
    one = report.damage
    if one is None:
        return Section("damage", "Why quality fell", empty(report.missing["damage"]))
    columns = [Column("Layer", right=False), Column("", right=False), Column("Share"), Column("Distance, alone"),
               Column("Tensors", right=False, spare=True)]  # fmt: skip
    longest = max((harm.share for harm in one.harms), default=0.0) or 1.0
    rows = [
        (breaking(harm.layer), bar([("harm", 0.0, harm.share / longest)]), percent(harm.share), figures(harm.distance),
         breaking(", ".join(harm.names)))
        for harm in one.harms
    ]  # fmt: skip
    said = paragraph(
        f"The outputs of the file are {figures(one.distance)} from the checkpoint’s: {one.unit}, on {one.samples:,} "
        "samples. Each layer is put into the checkpoint by itself; what they do together is not the sum."
    )
    whole = table("Layers, each by itself, the worst first", columns, rows[:12], kind="bars")
    whole += (
        folded(f"{len(rows) - 12} more layers", table("The other layers", columns, rows[12:], kind="bars"))
        if rows[12:]
        else ""
    )
    return Section("damage", "Why quality fell", said + whole + _mends(report, one))


def _mends(report: Report, one: Damage) -> str:
    """Return the rows of a plan, and what each comes to."""
    if not one.command:
        said = (
            "These weights are pruned, factored or shared: no row of a plan refines them by itself. Keep more of the "
            "worst layers, in the options or the plan that made the file."
        )
        return f"<h3>What would mend it</h3>{paragraph(said)}"
    command = f'<pre tabindex="0" role="region" aria-label="The command">{safe(one.command)}</pre>'
    if not one.mends:
        said = "No row of a plan was found that mends it by itself: the bits are where they matter. More of them:"
        return f"<h3>What would mend it</h3>{paragraph(said)}{command}"
    columns = [Column("Weight", right=False), Column("File"), Column("More"), Column("Distance"), Column("Less by")]
    now = max(report.account.file_bytes, 1)

    def line(name: str, size: int, distance: float) -> tuple[str, ...]:
        less = percent(1 - distance / one.distance) if one.distance > 0 and math.isfinite(distance) else "–"
        return breaking(name), f"{size:,}", percent(size / now - 1), figures(distance), less

    rows = [line(mend.name, mend.bytes, mend.distance) for mend in one.mends]
    total = line("all of them", *one.together) if one.together else ()
    return (
        "<h3>What would mend it</h3>"
        + paragraph("One bit a weight more for the worst, each by itself, and all other tensors as they are:")
        + table("What each row of a plan comes to", columns, rows, total=total)
        + f'<pre tabindex="0" role="region" aria-label="The plan">{safe(one.plan.strip())}</pre>{command}'
    )


def costs(report: Report) -> Section:
    """Return what running the network takes, before and after."""
    if not report.costs:
        return Section("costs", "What it takes to run", empty(report.missing["costs"]))
    columns = [Column("Takes", right=False), Column("Before"), Column("As the file has it"),
               Column("Times less"), Column("How", right=False, spare=True)]  # fmt: skip
    rows = [
        (safe(one.what), figures(one.before, 4), figures(one.after, 4),
         figures(one.before / one.after) if one.after else "–", safe(one.how))
        for one in report.costs
    ]  # fmt: skip
    whole = table("Before and after", columns, rows)
    if untimed := report.missing.get("times"):
        whole += empty(untimed)
    return Section("costs", "What it takes to run", whole)


def run(report: Report) -> Section:
    """Return the path of a training run, and what there is to say of it."""
    if report.path is None:
        return Section("run", "The training run", empty(report.missing["run"]))
    path = report.path
    drawn = "".join(_series(path, title, names) for title, names in _groups(path))
    said = "".join(paragraph(sentence) for sentence in path.diagnosis)
    names = ["step", *(name for name in path.steps[-1] if name != "step")]
    every = max(1, len(path.steps) // 24)
    rows = [[figures(step.get(name), 4) for name in names] for step in (*path.steps[:-1:every], path.steps[-1])]
    whole = table("Steps of the run", [Column(name) for name in names], rows)
    return Section(
        "run", "The training run", f'{said}<div class="pair">{drawn}</div>{folded("The steps as a table", whole)}'
    )


def _groups(path: Path) -> list[tuple[str, list[str]]]:
    """Return figures of a run: title, and the numbers that are in it."""
    names = list(dict.fromkeys(name for step in path.steps for name in step))
    groups = [("Loss and gap", ["loss", "gap"]), ("Penalty parameter μ", ["μ"]), ("Bytes of the file", ["bytes"])]
    groups += [(name.capitalize(), [name]) for name in names if name.startswith("validation ")]
    return [(title, [name for name in own if name in names]) for title, own in groups if any(n in names for n in own)]


def _series(path: Path, title: str, names: list[str]) -> str:
    """Return a figure of numbers over the steps."""
    curves = {
        name: [(float(step["step"] or 0), value) for step in path.steps if (value := step.get(name)) is not None]
        for name in names
    }
    values = [value for places in curves.values() for _, value in places if value > 0]
    wide = bool(values) and max(values) > 30 * min(values)
    return plane(title, ("LC step", "logarithmic" if wide else " "), curves, logarithmic=wide)


def summary(report: Report) -> list[tuple[str, str]]:
    """Return the figures that a page begins with: what it is, and the value."""
    account = report.account
    found = [("file", in_bytes(account.file_bytes))]
    if account.bits_per_weight is not None:
        found.append(("bits a weight", figures(account.bits_per_weight)))
    if account.ratio is not None:
        found.append((f"smaller than {in_bytes(account.reference_bytes or 0)}", f"{figures(account.ratio)}×"))
    if report.snr is not None:
        found.append(("signal over error", f"{figures(report.snr)} dB"))
    if report.damage is not None:
        found.append(
            (
                "KL of the outputs, nats" if "KL" in report.damage.unit else "change of the outputs",
                figures(report.damage.distance),
            )
        )
    found.append(("of all elements are 0", percent(report.zeros)))
    return found
