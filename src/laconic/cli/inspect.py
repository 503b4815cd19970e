"""`laconic inspect`: the account of a `.lac` file, without torch, and with it what became of the weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

from laconic.cli import options
from laconic.cli.console import Output, in_bytes, table
from laconic.errors import PlanError
from laconic.format import container
from laconic.insight.ledger import Ledger, ledger

_OF_RULES = (
    "net", "data", "data_dir", "task", "importance", "temperature", "importance_samples", "kind", "split", "seed",
    "threads",
)  # fmt: skip


def command(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="The .lac file.")],
    against: Annotated[
        Path | None, typer.Option(help="The checkpoint that was compressed: what became of its weights.")
    ] = None,
    net: options.Net = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    task: options.TaskFactory = None,
    importance: options.Weigh = None,
    temperature: options.Temperature = None,
    importance_samples: options.Samples = None,
    kind: options.Outputs = None,
    split: Annotated[
        options.Split | None, typer.Option(help="Where the true distortion is measured; validation unless told.")
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    limit: options.Limit = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show where the bytes of a .lac file are: shape, code, exact bytes, entropy and share of every tensor.

    Two ratios are given. File to file: bytes of the uncompressed checkpoint over bytes of this file. And ρ as the
    publications count: fixed-length indices, coordinate lists, no entropy coding, no headers.

    With --against the golden rules of rate distortion follow, for each tensor that was changed: the objective,
    (w − ŵ)ᵀ I (w − ŵ); the residual, how far from orthogonal ŵ and its error are under I, 0 to 1, which is 0 at an
    optimum; and the SNR. I is the unit matrix, or with a task an --importance, "unsupervised" unless told. That one
    predicts the distortion of the outputs, which is measured beside it: E‖f_w − f_ŵ‖² for regression, E KL(f_ŵ ‖ f_w)
    in nats for classification, where the prediction is half the objective.

    Examples:
      laconic inspect net.lac

      laconic inspect net.lac --against net.safetensors

      laconic inspect net.lac --against net.safetensors --data digits
    """
    _require_against(context, against)
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
    shown: list[Any] = [table(f"{source.name} ({_about(metadata)})", columns, rows), *_totals(account)]
    if against is not None:
        from laconic.cli import rules  # needs torch, which an account does without

        chosen = {option: context.params[option] for option in _OF_RULES}
        report = rules.golden(say, source, against, limit, **chosen)
        record["golden"] = report
        shown += rules.shown(report)
    say.result(record, *shown)


def _require_against(context: typer.Context, against: Path | None) -> None:
    """Raise `PlanError` for options that say how to compare where there is nothing to compare with."""
    sources = {option: context.get_parameter_source(option) for option in _OF_RULES}
    idle = [options.name_of(option) for option, source in sources.items() if source and source.name == "COMMANDLINE"]
    if idle and against is None:
        raise PlanError(f"{', '.join(idle)}: goes with --against, the checkpoint to compare with")


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
