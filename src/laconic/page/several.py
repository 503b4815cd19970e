"""The page of several files side by side."""

from collections.abc import Sequence
from dataclasses import replace

from laconic.insight.report import Dot, Plane, Report
from laconic.page import sizes
from laconic.page.changes import plane_of
from laconic.page.charts import NARROW, bar, treemap_of
from laconic.page.document import Column, Section, empty, folded, page, paragraph, table
from laconic.page.words import breaking, figures, in_bytes, percent

ROWS = 30
"""Tensors that are shown at once; the others on demand."""

_AGAINST = "Empty. `--against REFERENCE`, the checkpoint that they are of, fills it."
_DATA = "Empty. `--against REFERENCE` with `--net NAME --data NAME`, or `--task module:factory`, fills it."


def several_page(reports: Sequence[Report], version: str) -> str:
    """Return the page of some files, all of it.

    Args:
        reports: of each, its name being one of its own.
        version: of what has made it.
    """
    maps, words = _maps(reports)
    sections = [_files(reports), _planes(reports), maps, _tensors(reports), _layers(reports)]
    lead = "Several files side by side: bytes, and what each has lost"
    return page(
        f"{len(reports)} files side by side", lead, "", sections, f"laconic {version}", {"cells": words}
    )  # fmt: skip


def _files(reports: Sequence[Report]) -> Section:
    """Return a line for each file."""
    longest = max((one.account.file_bytes for one in reports), default=1)
    compared, measured = (any(getattr(one, of) is not None for one in reports) for of in ("snr", "damage"))
    columns = [Column("File", right=False), Column("", right=False), Column("Bytes"), Column("Bits a weight")]
    columns += [Column("Ratio", spare=True), Column("Zeros", spare=True)]
    columns += [Column("SNR, dB", spare=measured)] if compared else []
    columns += [Column("Distance")] if measured else []
    rows = []
    for one in reports:
        account = one.account
        cells = [breaking(one.file), bar([("coded", 0.0, account.file_bytes / longest)]), f"{account.file_bytes:,}",
                 figures(account.bits_per_weight), figures(account.ratio), percent(one.zeros)]  # fmt: skip
        cells += [figures(one.snr)] if compared else []
        cells += [figures(one.damage.distance if one.damage else None)] if measured else []
        rows.append(cells)
    told = next((one.damage for one in reports if one.damage), None)
    said = paragraph(f"Distance: {told.unit}, on {told.samples:,} samples that are held out.") if told else ""
    return Section("files", "The files", table("Files", columns, rows, kind="bars") + said)


def _planes(reports: Sequence[Report]) -> Section:
    """Return all files beside the bound, and by what their outputs have lost."""
    found = list[Plane]()
    known = [one for one in reports if one.planes]
    if known:
        first = max(known, key=lambda one: max(dot.y for dot in one.planes[0].dots if dot.kind == "file"))
        dots = [replace(dot, kind="other") for one in known for dot in one.planes[0].dots if dot.kind == "file"]
        found.append(replace(first.planes[0], dots=tuple(dots)))
    lost = [one for one in reports if one.damage and one.account.bits_per_weight is not None]
    if lost and lost[0].damage:
        dots = [
            Dot(one.file, one.account.bits_per_weight or 0.0, one.damage.distance, "other")
            for one in lost
            if one.damage
        ]
        found.append(
            Plane(
                "What the outputs have lost",
                "bits a weight, of the whole file",
                lost[0].damage.unit,
                {},
                tuple(dots),
                True,
            )
        )
    body = f'<div class="pair">{"".join(map(plane_of, found))}</div>' if found else empty(_AGAINST)
    return Section("plane", "Size against loss", body)


def _maps(reports: Sequence[Report]) -> tuple[Section, list[list[tuple[str, str]]]]:
    """Return a treemap of each file, and what the script says of their cells."""
    words, drawn = list[list[tuple[str, str]]](), ""
    for one in reports:
        cells, own = sizes.cells_of(one)
        cells = [replace(cell, key=cell.key + len(words)) for cell in cells]
        words += [[("File", one.file), *pairs] for pairs in own]
        map_ = treemap_of(cells, f"bytes of {one.file}", "always", NARROW)
        drawn += (
            f"<figure><figcaption>{breaking(one.file)}, {in_bytes(one.account.file_bytes)}</figcaption>{map_}</figure>"
        )
    body = (
        f'<div class="map by-bits"><div class="side">{drawn}</div>{sizes.bits_scale()}'
        '<div id="readout" aria-live="polite"></div></div>'
    )
    return Section("where", "Where their bytes are", body), words


def _tensors(reports: Sequence[Report]) -> Section:
    """Return the bytes of each tensor in all files."""
    sizes_of = [{piece.entry.name: piece for piece in one.pieces} for one in reports]
    names = list(dict.fromkeys(name for own in sizes_of for name in own))
    ranked = sorted(names, key=lambda name: -max(own[name].entry.bytes for own in sizes_of if name in own))
    columns = [Column("Tensor", right=False), *(Column(one.file) for one in reports)]

    def line(name: str) -> list[str]:
        cells = [
            f"{own[name].entry.bytes:,} <small>{figures(own[name].bits)}</small>" if name in own else "–"
            for own in sizes_of
        ]
        return [breaking(name), *cells]

    header = ["header", *(f"{one.header:,}" for one in reports)]
    total = ["The file", *(f"{one.account.file_bytes:,}" for one in reports)]
    body = paragraph("Bytes of each tensor, and its bits a weight.")
    if len(ranked) > ROWS + 1:
        rest = [f"{len(ranked) - ROWS:,} smaller tensors"]
        rest += [f"{sum(own[name].entry.bytes for name in ranked[ROWS:] if name in own):,}" for own in sizes_of]
        shown = [*map(line, ranked[:ROWS]), rest, header]
        body += table("Tensors side by side", columns, shown, total=total)
        body += folded(
            f"{len(ranked) - ROWS:,} smaller tensors", table("Smaller tensors", columns, [*map(line, ranked[ROWS:])])
        )
    else:
        body += table("Tensors side by side", columns, [*map(line, ranked), header], total=total)
    return Section("tensors", "Tensor by tensor", body)


def _layers(reports: Sequence[Report]) -> Section:
    """Return what each layer by itself does to the outputs, in all files."""
    harms = [{harm.layer: harm for harm in one.damage.harms} if one.damage else {} for one in reports]
    if not any(harms):
        return Section("damage", "Why quality fell", empty(_DATA))
    layers = list(dict.fromkeys(layer for own in harms for layer in own))
    ranked = sorted(layers, key=lambda layer: -max(own[layer].distance for own in harms if layer in own))
    columns = [Column("Layer, by itself", right=False), *(Column(one.file) for one in reports)]
    rows = [
        [breaking(layer), *(figures(own[layer].distance) if layer in own else "–" for own in harms)] for layer in ranked
    ]
    whole = ["All together", *(figures(one.damage.distance if one.damage else None) for one in reports)]
    return Section("damage", "Why quality fell", table("Layers side by side", columns, rows, total=whole))
