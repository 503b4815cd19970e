"""`laconic scratch`: a narrow network, trained from fresh weights."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


class Spend(StrEnum):
    """What a narrow network may spend as much of as the wide one."""

    epochs = "epochs"
    multiply_adds = "multiply-adds"


@groups.grouped
def command(
    source: Annotated[Path, typer.Argument(help="A .lac file that laconic shrink has written.")],
    data: options.Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .lac file to write.", rich_help_panel=groups.RUN)],
    run: options.LongRun,
    say: Output,
    spend: Annotated[
        Spend,
        typer.Option(
            help="epochs: as many as --epochs says, Scratch-E. multiply-adds: as many more as each is cheaper than one "
            "of the wide network, Scratch-B.",
            rich_help_panel=groups.TRAINING,
        ),
    ] = Spend.epochs,
    epochs: Annotated[
        int, typer.Option(min=1, help="Of the wide network's training.", rich_help_panel=groups.TRAINING)
    ] = 40,
    lr: Annotated[
        float,
        typer.Option(
            help="Learning rate at the start; it falls to 0 as half a cosine.", rich_help_panel=groups.TRAINING
        ),
    ] = 0.1,
    weight_decay: Annotated[
        float, typer.Option(min=0, help="α of (α/2)‖w‖² on weights.", rich_help_panel=groups.TRAINING)
    ] = 0.0,
) -> None:
    """Train a network of the widths that pruning has found, from fresh weights: was the pruned one needed for more?

    The widths are those of a shrunk network, whose weights are not used. It is trained as by laconic train, with a
    checkpoint after every epoch. --net and --data are those of the file, unless you say.

    Examples:
      laconic scratch small.lac -o thin.lac

      laconic scratch small.lac --task mine:make --spend multiply-adds -o b.lac
    """
    from laconic.cli.jobs.scratch import Job, train_narrow

    train_narrow(Job(source, data, output, run, spend, epochs, lr, weight_decay), say)
