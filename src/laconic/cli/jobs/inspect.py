"""What `laconic inspect` prints: the account of a file, without torch."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laconic.cli.console import Output, in_bytes, table
from laconic.deploy.edits import edits_of
from laconic.errors import FormatError, listed
from laconic.format import container
from laconic.insight.compression_statistics import MOST, statistics, total
from laconic.insight.deep_compression import Account
from laconic.insight.gap import Gap, gap
from laconic.insight.ledger import LAYOUTS, Ledger, ledger

if TYPE_CHECKING:
    from laconic.cli.jobs.rules import Comparison


def inspect(
    say: Output, source: Path, limit: int | None, rules: "Comparison | None", index_bits: int | None = None
) -> None:
    """Print the account, where there are rules what they say, and with ``index_bits`` Deep Compression's columns."""
    with container.open(source, limit) as file, say.progress("reading", max(1, len(file))) as tick:
        account, metadata = ledger(file, tick), dict(file.metadata)
        columned = {} if index_bits is None else _columned(file, index_bits)
        try:
            measured, why = gap(file, account), ""
        except FormatError as error:
            measured, why = None, str(error)
    record = {"file": str(source), "metadata": metadata, **account.records()}
    columns = {"tensor": "left", "shape": "right", "code": "left", "bytes": "right", "entropy": "right",
               "share": "right", "as published": "right"}  # fmt: skip
    rows = [
        (
            entry.name,
            " × ".join(map(str, entry.shape)) or "-",
            entry.code,
            f"{entry.bytes:,}",
            f"{entry.entropy_bytes:,.0f}",
            f"{entry.share:.1%}",
            f"{entry.published_bits / 8:,.0f}",
        )
        for entry in account.entries
    ]
    title = f"{source.name} ({_about(metadata)})"
    shown: list[Any] = [table(title, columns, rows), *_totals(account), *_made(metadata)]
    record["meter"] = measured and measured.record()
    if measured is not None:
        shown += metered(measured)
    elif why:
        record["meter_ignored"] = why
        shown.append(f"no word on the limit: {why}")
    if index_bits is not None:
        record["han"], lines = han(columned)
        shown += lines
    if rules is not None:
        report = rules.report(say, source, limit)
        record["golden"] = report
        shown += rules.shown(report)
    say.result(record, *shown)


def _columned(file: container.LacFile, index_bits: int) -> dict[str, Account | None]:
    """Return Deep Compression's columns of every tensor with two axes or more; None where it does not suit."""
    names = [charge.name for charge in file.charges()[:-1] if len(charge.shape) >= 2 and not charge.tied]
    return {name: statistics(file.code(name), index_bits) for name in names}


def han(layers: Mapping[str, Account | None]) -> tuple[dict[str, Any], list[Any]]:
    """Return the record and what is shown of Deep Compression's columns."""
    there = {name: one for name, one in layers.items() if one is not None}
    columns = {"tensor": "left", "weights": "right", "kept": "right", "value": "right", "value, H": "right",
               "index": "right", "index, H": "right", "P+Q": "right", "P+Q+H": "right"}  # fmt: skip
    every = {**there, **({"(total)": total(list(there.values()))} if there else {})}
    rows = [
        (name, f"{one.weights:,}", f"{one.share:.1%}", *(f"{bits:.2f}" for bits in one.bits),
         *(f"{rate:.2%}" for rate in one.rates))
        for name, one in every.items()
    ]  # fmt: skip
    shown: list[Any] = [table("as Deep Compression would store it", columns, rows)]
    others = [name for name, one in layers.items() if one is None]
    if others:
        shown.append(f"left out: {listed(others)}; it holds float32 weights of at most {MOST} values beside 0")
    return {"tensors": {name: one.record() for name, one in every.items()}, "left_out": others}, shown


def metered(measured: Gap) -> list[Any]:
    """Return a table of the calibrated weights, and where the bits above the limit are."""
    columns = {"calibrated": "left", "bits": "right", "R(D)": "right", "residual": "right", "objective": "right",
               "with α": "right"}  # fmt: skip
    rows = [
        (row.name, f"{row.bits:.3f}", f"{row.limit:.3g}", f"{row.residual:.4f}", f"{row.objective:.3g}",
         f"{row.factored:.3g}")
        for row in measured.rows
    ]  # fmt: skip
    return [table("beside the limit, golden rules under Σ", columns, rows), above(measured)]


def above(measured: Gap) -> str:
    """Return where the bits above the limit are, in one line."""
    parts = ", ".join(f"{part} {bits:.3f}" for part, bits in measured.parts.items())
    below = "; model below 0: more is known of weights than Gaussians" if measured.parts["model"] < 0 else ""
    return f"{measured.above:.3f} bits a weight above R(D), {measured.limit:.3f}: {parts}{below}"


def _about(metadata: dict[str, str]) -> str:
    """Return what the file says it holds."""
    return ", ".join(metadata[key] for key in ("net", "data", "preprocessing") if key in metadata) or "no metadata"


def _made(metadata: Mapping[str, str]) -> list[str]:
    """Return lines on what was cut out, what was rewritten, and the machine it was compressed for, if any."""
    lines = []
    try:
        edits = edits_of(metadata)
        kinds = (
            ("tensor", "smaller", edits.axes),
            ("layer", "with some inputs", edits.selected),
            ("layer", "factored", edits.factored),
        )
        counts = [f"{len(one)} {noun}{'s' * (len(one) > 1)} {what}" for noun, what, one in kinds if one]
        lines += [f"shrunk: {', '.join(counts)}"] if counts else []
        became = Counter(kind for kind, *_ in edits.rewritten.values())
        told = ", ".join(f"{count} {kind}" for kind, count in became.items())
        lines += [f"rewritten: {told}"] if became else []
    except FormatError as error:
        lines.append(f"no word on what was cut out: {error}")
    with suppress(ValueError, RecursionError):
        layouts = json.loads(metadata.get(LAYOUTS, "{}"))
        if isinstance(layouts, dict) and isinstance(weights := layouts.get("weights"), dict):
            lines.append(f"compressed for {layouts.get('machine')}: layouts of {len(weights)} weights")
    return lines


def _totals(account: Ledger) -> list[str]:
    """Return the lines under the table."""
    lines = [f"file {account.file_bytes:,} bytes ({in_bytes(account.file_bytes)})"]
    if account.bits_per_weight is not None:
        lines[0] += f", {account.bits_per_weight:.3f} bits per weight"
    if account.ratio is not None:
        lines.append(f"ratio {account.ratio:.2f} (file to file, of {account.reference_bytes:,} bytes)")
    if account.published_ratio is not None:
        lines.append(f"ratio {account.published_ratio:.2f} (ρ as the publications count)")
    return lines
