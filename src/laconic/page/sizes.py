"""Where the bytes of a file are: the treemap, bars of tensors, kinds of codes, and the stages from the checkpoint."""

from collections.abc import Sequence
from itertools import pairwise

from laconic.insight.anatomy import Piece, classes
from laconic.insight.report import Report
from laconic.page.charts import Cell, bar, treemap
from laconic.page.document import Column, Section, empty, folded, paragraph, table
from laconic.page.words import breaking, figures, in_bytes, percent, safe, shape

CELLS = 90
"""Tensors of a treemap that are not gathered, at most."""

ROWS = 24
"""Tensors with a bar, at most."""

_LEAST = 0.005  # of the file: smaller tensors are gathered
BITS = (1, 1.5, 2, 3, 6)
"""Where colours of bits a weight change."""

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Where colours of the damage change."""

_KINDS = 6  # of small tensors, by the last part of their names
Words = list[tuple[str, str]]
"""Of a cell, what there is to say: name and value."""

Draft = tuple[int, tuple[str, ...], str, Words]
"""Of a cell: bytes, names, classes of its colours, and what there is to say."""


def where(report: Report) -> Section:
    """Return the treemap, what it says of a cell, and the table of all tensors."""
    cells, _ = cells_of(report)
    switch, harm = "", ""
    if report.damage is not None:
        choices = "".join(
            f'<label><input type="radio" name="paint" value="{value}"{" checked" * (value == "bits")}>{text}</label>'
            for value, text in (("bits", "bits a weight"), ("harm", "share of the damage"))
        )
        switch = f'<fieldset class="switch"><legend>Colour</legend>{choices}</fieldset>'
        harm = _scale("d", ["under 1 %", *_between([100 * one for one in SHARES], " %"), "20 % and more"], "damage")
    body = (
        f"<p>Areas are shares of {report.account.file_bytes:,} bytes. Point, tap, or use Tab and the arrow keys."
        f'</p><div class="map by-bits">{switch}{treemap(cells, "bytes of the file")}{bits_scale()}{harm}'
        '<div id="readout" aria-live="polite"></div></div>'
    )
    return Section(
        "where", "Where the bytes are", body + folded(f"All {len(report.pieces):,} tensors as a table", _every(report))
    )


def bits_scale() -> str:
    """Return the legend of colours of bits a weight."""
    return _scale("q", [f"under {BITS[0]:g}", *_between(BITS), f"{BITS[-1]:g} and more"], "bits a weight")


def cells_of(report: Report) -> tuple[list[Cell], list[Words]]:
    """Return the cells of the treemap, the largest first, and of each what there is to say: name and value."""
    total = max(report.account.file_bytes, 1)
    ranked = sorted(report.pieces, key=lambda one: -one.entry.bytes)
    shown = [one for one in ranked[:CELLS] if one.entry.bytes >= _LEAST * total]
    shown = ranked if len(ranked) == len(shown) + 1 else shown
    drafts = [_cell(report, one, total) for one in shown]
    drafts += [_gathered(report, kind, own, total) for kind, own in _kinds(ranked[len(shown) :]).items()]
    header = [("Header", "names, lengths, checksums, metadata"), ("Bytes", _bytes(report.header, total))]
    drafts.append((report.header, ("header",), "plain", header))
    drafts.sort(key=lambda one: -one[0])
    cells = [
        Cell(size, names, in_bytes(size), ", ".join(f"{what} {value}" for what, value in words), paint, key)
        for key, (size, names, paint, words) in enumerate(drafts)
    ]
    return cells, [words for *_, words in drafts]


def _cell(report: Report, one: Piece, total: int) -> Draft:
    """Return what the cell of a tensor is made of."""
    name, harm = one.entry.name, report.harm
    paint = f"q{_step(one.bits, BITS)} d{_step(harm.get(name, 0.0), SHARES)}"
    return one.entry.bytes, names_of(name), paint, _said(report, one, total)


def _gathered(report: Report, kind: str, own: Sequence[Piece], total: int) -> Draft:
    """Return what the cell of some small tensors is made of."""
    size, elements = sum(one.entry.bytes for one in own), max(sum(one.size for one in own), 1)
    bits, names = 8 * size / elements, {one.entry.name for one in own}
    harms = report.damage.harms if report.damage else ()
    share = sum(one.share for one in harms if set(one.names) <= names)
    words = [("Tensors", f"{len(own):,} small ones: {kind}"), ("Bytes", _bytes(size, total)),
             ("Elements", f"{elements:,}"), ("Bits a weight", figures(bits))]  # fmt: skip
    short = f"{len(own):,} × {kind}"
    return size, (short, f"{len(own):,} small", f"{len(own):,}"), f"q{_step(bits, BITS)} d{_step(share, SHARES)}", words


def _kinds(rest: Sequence[Piece]) -> dict[str, list[Piece]]:
    """Return small tensors by the last part of their names; what is rare goes together."""
    found: dict[str, list[Piece]] = {}
    for one in rest:
        found.setdefault(one.entry.name.rpartition(".")[2], []).append(one)
    ranked = sorted(found, key=lambda kind: -sum(one.entry.bytes for one in found[kind]))
    kept = {kind: found[kind] for kind in ranked[:_KINDS]}
    others = [one for kind in ranked[_KINDS:] for one in found[kind]]
    return {**kept, **({"others": others} if others else {})}


def names_of(name: str) -> tuple[str, ...]:
    """Return a name, and shorter ones for it.

    >>> names_of("layer3.2.conv1.weight")
    ('layer3.2.conv1.weight', 'layer3.2.conv1', '2.conv1', 'conv1')
    """
    short = name.removesuffix(".weight")
    path = short.split(".")
    return tuple(dict.fromkeys([name, short, ".".join(path[-2:]), path[-1]]))


def bars(report: Report) -> Section:
    """Return a bar for each of the largest tensors, and for all else: they sum to the file."""
    ranked = sorted(report.pieces, key=lambda one: -one.entry.bytes)
    shown, rest = (ranked, []) if len(ranked) <= ROWS + 1 else (ranked[:ROWS], ranked[ROWS:])
    rows: list[tuple[str, int, int, float]] = [
        (one.entry.name, one.coded, one.beside, one.entry.entropy_bytes) for one in shown
    ]
    if rest:
        sums = (
            sum(one.coded for one in rest),
            sum(one.beside for one in rest),
            sum(one.entry.entropy_bytes for one in rest),
        )
        rows.append((f"{len(rest):,} smaller tensors", *sums))
    rows.append(("header", 0, report.header, 0.0))
    longest = max(max(coded + beside, ideal) for _, coded, beside, ideal in rows) or 1
    columns = [Column("Tensor", right=False), Column("", right=False), Column("Bytes"), Column("Coded", spare=True),
               Column("Beside", spare=True), Column("Ideal", spare=True)]  # fmt: skip
    lines = []
    for number, (name, coded, beside, ideal) in enumerate(rows):
        last = number == len(rows) - 1
        parts = [("coded", 0.0, coded / longest), ("header" if last else "beside", coded / longest, beside / longest)]
        drawn = bar([part for part in parts if part[2]], None if last else ideal / longest)
        numbers = ["–"] * 3 if last else [f"{coded:,}", f"{beside:,}", f"{ideal:,.0f}"]
        lines.append((breaking(name), drawn, f"{coded + beside:,}", *numbers))
    sums = (sum(one.coded for one in ranked), sum(one.beside for one in ranked), report.ideal)
    total = ("The file", "", f"{report.account.file_bytes:,}", *(f"{size:,.0f}" for size in sums))
    legend = _legend((("coded", "coded weights"), ("beside", "scales, steps, codebooks, tables"),
                      ("header", "header"), ("mark", "ideal: entropy of the symbols and plain values")))  # fmt: skip
    what = table("Bytes of each tensor, the largest first", columns, lines, total=total, kind="bars")
    return Section("tensors", "Tensor by tensor", legend + what + _above(report))


def kinds(report: Report) -> Section:
    """Return how tensors are stored, and how many of their elements are 0."""
    found, total = classes(report.pieces), max(report.account.file_bytes, 1)
    columns = [Column("Stored as", right=False), Column("", right=False), Column("Share"), Column("Bytes"),
               Column("Tensors"), Column("Elements", spare=True), Column("Zeros")]  # fmt: skip
    rows = [
        (safe(one.code), bar([("coded", 0.0, one.bytes / total)]), percent(one.bytes / total), f"{one.bytes:,}",
         f"{one.tensors:,}", f"{one.elements:,}", percent(one.zeros / max(one.elements, 1)))
        for one in found
    ]  # fmt: skip
    rows.append(("header", bar([("header", 0.0, report.header / total)]), percent(report.header / total),
                 f"{report.header:,}", "–", "–", "–"))  # fmt: skip
    return Section("kinds", "How they are stored", table("Kinds of codes, and zeros", columns, rows, kind="bars"))


def waterfall(report: Report) -> Section:
    """Return what each stage from the checkpoint to the file takes away."""
    if not report.stages:
        return Section("stages", "From the checkpoint to the file", empty(report.missing["stages"]))
    longest = max(stage.bytes for stage in report.stages) or 1
    columns = [Column("Stage", right=False), Column("", right=False), Column("Left"), Column("Change"),
               Column("What it is", right=False, spare=True)]  # fmt: skip
    rows = []
    for stage in report.stages:
        before = stage.bytes - stage.change
        whole = stage is report.stages[0] or stage is report.stages[-1]
        low, high = sorted((before, stage.bytes))
        gone = ("gone" if stage.change < 0 else "added", low / longest, (high - low) / longest)
        kept = ("coded" if whole else "kept", 0.0, min(stage.bytes, before if not whole else stage.bytes) / longest)
        drawn = bar([kept] if stage is report.stages[0] else [kept, gone])
        change = "" if stage is report.stages[0] else _signed(stage.change)
        rows.append((safe(stage.name), drawn, in_bytes(stage.bytes), change, safe(stage.about)))
    ratio = report.stages[0].bytes / max(report.account.file_bytes, 1)
    said = paragraph(
        f"{in_bytes(report.stages[0].bytes)} became {in_bytes(report.account.file_bytes)}: "
        f"{figures(ratio)} times fewer. The changes add up to the file."
    )
    return Section(
        "stages", "From the checkpoint to the file", said + table("Bytes after each stage", columns, rows, kind="bars")
    )


def _every(report: Report) -> str:
    """Return the table of all tensors, in the order of the file."""
    harm, changes = report.harm, {one.name: one.snr for one in report.changes}
    columns = [Column("Tensor", right=False), Column("Shape", right=False), Column("Stored as", right=False),
               Column("Bytes"), Column("Share"), Column("Bits a weight"), Column("Ideal"), Column("Beside"),
               Column("Zeros"), *([Column("SNR, dB")] if report.changes else []),
               *([Column("Damage")] if report.damage else [])]  # fmt: skip
    total = max(report.account.file_bytes, 1)
    rows = []
    for one in report.pieces:
        name, entry = one.entry.name, one.entry
        cells = [breaking(name), shape(entry.shape), safe(entry.code), f"{entry.bytes:,}", percent(entry.bytes / total),
                 figures(one.bits), f"{entry.entropy_bytes:,.0f}", f"{one.beside:,}",
                 percent(one.zeros / max(one.size, 1))]  # fmt: skip
        cells += [figures(changes.get(name))] if report.changes else []
        cells += [percent(harm[name]) if name in harm else "–"] if report.damage else []
        rows.append(cells)
    ties = [one for one in report.account.entries if one.tied]
    more = paragraph("; ".join(f"{one.name} is the same as {one.tied}" for one in ties)) if ties else ""
    return table("All tensors, in the order of the file", columns, rows) + more


def _said(report: Report, one: Piece, total: int) -> Words:
    """Return what there is to say of a tensor: name and value."""
    entry, harm = one.entry, report.harm
    ideal = figures(8 * entry.entropy_bytes / max(one.size, 1))
    found = [
        ("Tensor", entry.name), ("Bytes", _bytes(entry.bytes, total)),
        ("Shape", shape(entry.shape) + f", {entry.dtype}"), ("Stored as", entry.code),
        ("Bits a weight", f"{figures(one.bits)} coded, {ideal} ideal"),
        ("Scales and tables", f"{one.beside:,} bytes"), ("Zeros", percent(one.zeros / max(one.size, 1))),
    ]  # fmt: skip
    change = next((change for change in report.changes if change.name == entry.name), None)
    if change is not None:
        found.append(("Signal over error", "as it was" if change.snr is None else f"{figures(change.snr)} dB"))
    if entry.name in harm:
        found.append(("Share of the damage", percent(harm[entry.name])))
    return found


def _above(report: Report) -> str:
    """Return where the bits above R(D) are, of a calibrated file."""
    if report.gap is None:
        return ""
    parts = ", ".join(f"{part} {figures(bits)}" for part, bits in report.gap.parts.items())
    return paragraph(
        f"{figures(report.gap.bits)} bits a weight are {figures(report.gap.above)} above R(D), "
        f"{figures(report.gap.limit)}, as calibration has measured it: {parts}."
    )


def _bytes(size: int, total: int) -> str:
    """Return bytes and what share of the file they are, as one word of a list."""
    return f"{in_bytes(size)} ({percent(size / total)})"


def _signed(change: int) -> str:
    """Return a change in bytes with its sign."""
    return f"{'+' if change > 0 else '−'}{in_bytes(abs(change))}"


def _step(value: float, limits: Sequence[float]) -> int:
    """Return how many limits a value has reached."""
    return sum(value >= limit for limit in limits)


def _between(limits: Sequence[float], unit: str = "") -> list[str]:
    """Return the ranges between limits."""
    return [f"{low:g} to {high:g}{unit}" for low, high in pairwise(limits)]


def _scale(kind: str, words: Sequence[str], what: str) -> str:
    """Return the legend of colours."""
    steps = "".join(f'<li><i class="swatch {kind}{at}"></i>{safe(word)}</li>' for at, word in enumerate(words))
    return f'<ul class="legend scale {kind}" aria-label="{safe(what)}">{steps}</ul>'


def _legend(items: Sequence[tuple[str, str]]) -> str:
    """Return the legend of bars."""
    return (
        '<ul class="legend">'
        + "".join(f'<li><i class="swatch {kind}"></i>{safe(t)}</li>' for kind, t in items)
        + "</ul>"
    )
