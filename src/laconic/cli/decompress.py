"""`laconic decompress`: a `.lac` file back to a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    source: Annotated[Path, typer.Argument(help="The .lac file.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).", rich_help_panel=groups.RUN),
    ],
    say: Output,
    threads: Annotated[
        int, typer.Option(min=1, help="Tensors decoded at once; each takes memory.", rich_help_panel=groups.RUN)
    ] = 1,
    limit: options.Limit = None,
    force: options.Force = False,
) -> None:
    """Turn a .lac file back into a checkpoint: exactly the weights that were evaluated.

    Tensors are decoded and written one by one, so that any file fits in memory whose largest tensor does.

    Example:
      laconic decompress net.lac -o net.safetensors
    """
    from laconic.cli.jobs.decompress import decompress

    decompress(say, source, output, threads=threads, limit=limit, force=force)
