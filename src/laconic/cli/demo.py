"""`laconic demo`: the whole story in a few minutes."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    say: Output,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write to.", rich_help_panel=groups.RUN)
    ] = Path("laconic-demo"),
    seeds: Annotated[
        int, typer.Option(min=1, help="How many networks are trained and compressed.", rich_help_panel=groups.RUN)
    ] = 3,
    seed: options.Seed = 0,
    threads: Annotated[
        int,
        typer.Option(
            min=1, help="Threads of torch; results are the same for the same number.", rich_help_panel=groups.RUN
        ),
    ] = 1,
    force: options.Force = False,
) -> None:
    """Train a small network on real images, compress it at three ratios, read the files back and evaluate them.

    Needs no data and no network connection. Writes a reference, six .lac files, report.md and a figure.

    Example:
      laconic demo
    """
    from laconic.cli.jobs.demo import demo

    demo(say, output, seeds=seeds, seed=seed, threads=threads, force=force)
