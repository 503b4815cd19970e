"""`laconic log`: the path of a run, as a table, a figure and words."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    log: Annotated[Path, typer.Argument(help="What laconic compress --effort train --log has written.")],
    say: Output,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PNG", help="Draw the path, too.", rich_help_panel=groups.RUN),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write the path as events of TensorBoard, too.", rich_help_panel=groups.RUN
        ),
    ] = None,
    force: options.Force = False,
) -> None:
    """Show the path of a run of compress --effort train --log, while it runs or after it.

    Each step is a line: μ, the loss of the L step, the gap between the weights and their compressed form, the share of
    choices that moved, and, within a budget, the bytes of the file and its measures on the validation split. Below is
    in words what stands out: a path that stays at direct compression, that diverges, or that has not arrived.

    Examples:
      laconic log run.jsonl

      laconic log run.jsonl -o run.png --tensorboard runs/first
    """
    from laconic.cli.jobs.log import show

    show(say, log, output, tensorboard, force=force)
