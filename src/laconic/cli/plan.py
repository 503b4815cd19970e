"""`laconic plan`: what each tensor of a checkpoint will get, before anything runs."""

from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.cli.rows import Rows


@groups.grouped
def command(
    weights: options.Checkpoint,
    rows: Rows,
    subject: options.Subject,
    say: Output,
    toml: Annotated[bool, typer.Option("--toml", help="Print the plan as TOML instead, to edit.")] = False,
    key: options.Key = None,
) -> None:
    """Show what each tensor of a checkpoint will get, and what is left alone and why, before anything runs.

    It takes the options of laconic compress that say what becomes of weights. Patterns that match nothing, tensors on
    two rows or on none, and integers that a row would compress are errors that name them all.

    Examples:
      laconic plan net.safetensors --keep 0.05 --codebook 16

      laconic plan net.safetensors --plan net.toml --json

      laconic plan net.safetensors --rank 8 --toml
    """
    from laconic.cli.jobs.plan import show

    show(say, weights, key, rows, subject, toml=toml)
