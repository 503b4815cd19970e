"""`laconic decompress`: a `.lac` file back to a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    source: Annotated[Path, typer.Argument(help="The .lac file, or the folder that compress has made of a model.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The checkpoint to write (.safetensors), or of a folder a folder.",
            rich_help_panel=groups.RUN,
        ),
    ],
    say: Output,
    threads: Annotated[
        int, typer.Option(min=1, help="Tensors decoded at once; each takes memory.", rich_help_panel=groups.RUN)
    ] = 1,
    shard: Annotated[
        int | None,
        typer.Option(
            parser=options.size,
            metavar="SIZE",
            help="Write a folder: files of tensors of this size at most, as 5GB, and their index.",
            rich_help_panel=groups.RUN,
        ),
    ] = None,
    limit: options.Limit = None,
    force: options.Force = False,
) -> None:
    """Turn a .lac file back into a checkpoint: exactly the weights that were evaluated.

    Tensors are decoded and written one by one, so that any file fits in memory whose largest tensor does.

    The folder of a model becomes a plain one again, with configuration, tokenizer and licence, which needs no laconic.

    Examples:
      laconic decompress net.lac -o net.safetensors

      laconic decompress SMALL -o MODEL --shard 5GB
    """
    from laconic.cli.jobs.decompress import decompress

    decompress(say, source, output, threads=threads, limit=limit, shard=shard, force=force)
