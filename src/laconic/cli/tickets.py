"""`laconic tickets`: lottery tickets."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    data: options.Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .lac file to write.", rich_help_panel=groups.RUN)],
    run: options.Run,
    say: Output,
    levels: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="How often to prune; with --at-once which levels to make, such as 3,7,12.",
            rich_help_panel=groups.WHAT,
        ),
    ] = "12",
    rate: Annotated[
        float,
        typer.Option(
            help="Share of the weights left that goes at each level, of each tensor.", rich_help_panel=groups.WHAT
        ),
    ] = 0.2,
    last: Annotated[
        float | None,
        typer.Option(help="The same of the last weight; half of --rate unless you say.", rich_help_panel=groups.WHAT),
    ] = None,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint", help="Compare weights of all tensors with each other, at one rate.", rich_help_panel=groups.WHAT
        ),
    ] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Each level prunes the dense network.", rich_help_panel=groups.WHAT)
    ] = False,
    rewind: Annotated[
        int,
        typer.Option(
            min=0,
            help="What stays goes back to the weights after so many epochs; to the first ones unless you say.",
            rich_help_panel=groups.TRAINING,
        ),
    ] = 0,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Train beside the last ticket: its mask with other first weights, its first weights with the mask "
            "shuffled within each tensor, and with random places.",
            rich_help_panel=groups.WHAT,
        ),
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Of one training.", rich_help_panel=groups.TRAINING)] = 20,
    every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="An epoch is so many batches, not a pass: after each the validation loss is looked at.",
            rich_help_panel=groups.TRAINING,
        ),
    ] = None,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.", rich_help_panel=groups.TRAINING)] = 1.2e-3,
    force: options.Force = False,
) -> None:
    """Find lottery tickets: train, prune the smallest weights, set the others back, and train them alone, in turn.

    What stays is trained from the values that it began with, and what is pruned is 0 throughout. The table says of each
    level how many weights are left, after which epoch the validation loss was least, and what it was. The file has the
    last ticket, after all epochs: what stays as it is, and where.

    What is finished stays in the folder OUTPUT.tickets: the same command goes on from there, level by level, and with
    more levels, and --force for the file that is there, does the new ones alone.

    Examples:
      laconic tickets --net lenet300 --data digits --levels 5 -o ticket.lac

      laconic tickets --net lenet300 --data digits --controls -o ticket.lac

      laconic tickets --task mine:make --rewind 2 --joint -o ticket.lac

      laconic tickets --task mine:make --levels 3,7,9 --at-once -o ticket.lac
    """
    from laconic.cli.jobs.tickets import Job, find

    chosen = options.numbers(levels)
    find(Job(data, output, run, chosen, rate, last, joint, at_once, rewind, controls, epochs, every, lr, force), say)
