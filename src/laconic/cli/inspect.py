"""`laconic inspect`: the account of a `.lac` file, without torch."""

from pathlib import Path
from typing import Annotated

import typer

from laconic import container
from laconic.cli import options
from laconic.cli.console import Output, in_bytes, table
from laconic.ledger import Ledger, ledger


def command(
    source: Annotated[Path, typer.Argument(help="The .lac file.")],
    limit: options.Limit = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show where the bytes of a .lac file are: shape, code, exact bytes, entropy and share of every tensor.

    Two ratios are given. File to file: bytes of the uncompressed checkpoint over bytes of this file. And ρ as the
    publications count: fixed-length indices, coordinate lists, no entropy coding, no headers.

    Example:
      laconic inspect net.lac
    """
    say = Output(as_json, quiet)
    with container.open(source, limit) as file, say.progress("reading", max(1, len(file))) as tick:
        account, metadata = ledger(file, tick), dict(file.metadata)
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
    say.result(record, table(f"{source.name} ({_about(metadata)})", columns, rows), *_totals(account))


def _about(metadata: dict[str, str]) -> str:
    """Return what the file says it holds."""
    return ", ".join(metadata[key] for key in ("net", "data", "preprocessing") if key in metadata) or "no metadata"


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
