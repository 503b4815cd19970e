"""`laconic shrink`: a network that is smaller where it runs."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    source: Annotated[Path, typer.Argument(help="A .lac file, or a checkpoint of safetensors or torch.save.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .lac file to write.", rich_help_panel=groups.RUN)],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    multiple: Annotated[
        int,
        typer.Option(
            min=1, help="Channels stay, though empty, up to a multiple of so many.", rich_help_panel=groups.WHAT
        ),
    ] = 1,
    limit: options.Limit = None,
    key: options.Key = None,
    force: options.Force = False,
) -> None:
    """Make a network physically smaller: neurons, filters, channels and heads that compression has emptied are gone.

    Outputs stay what they were, within 1e-5 of the largest: that is tried on data, or on random inputs where no --data
    is named, before anything is written. Factored layers become thin ones where that is fewer multiply-adds. What could
    not be removed is named, with the reason.

    In Python laconic.load("small.lac", Net()) makes a fresh network of the class Net as small, and fills it.

    Examples:
      laconic shrink net.lac --net lenet300 -o small.lac

      laconic shrink net.lac --task mine:task --multiple 8 -o small.lac
    """
    from laconic.cli.jobs.shrink import shrink

    shrink(say, source, output, subject, run, multiple=multiple, limit=limit, key=key, force=force)
