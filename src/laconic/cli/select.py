"""`laconic select`: how much compression, by validation."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.cli.teaching import Teaching


@groups.grouped
def command(
    context: typer.Context,
    weights: options.Checkpoint,
    technique: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What takes the number: codebook, keep, rank, filters or another of laconic techniques.",
            rich_help_panel=groups.WHAT,
        ),
    ],
    values: Annotated[
        str, typer.Option(metavar="LIST", help="The numbers that are tried: 2,4,8,16.", rich_help_panel=groups.WHAT)
    ],
    data: options.Data,
    training: options.Training,
    teaching: Teaching,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .lac file to write.", rich_help_panel=groups.RUN)],
    run: options.Run,
    say: Output,
    tensors: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="The tensors that get it, as 'fc1.weight, fc2.weight'; the others stay. All weights unless you say.",
            rich_help_panel=groups.WHICH,
        ),
    ] = None,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint", help="The number is that of all tensors together, not of each.", rich_help_panel=groups.WHAT
        ),
    ] = False,
    row: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Other options of the technique, as a plan has them between braces: 'kind = \"tensors\"'.",
            rich_help_panel=groups.WHAT,
        ),
    ] = "",
    effort: Annotated[
        options.Effort,
        typer.Option(help="direct: from the weights. train: LC for each number.", rich_help_panel=groups.TRAINING),
    ] = options.Effort.direct,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Judge by so many folds of the training data, 2 or more, not by the validation split: for each a new "
            "network is trained without it.",
            rich_help_panel=groups.MATTERS,
        ),
    ] = 0,
    refit_epochs: Annotated[
        int,
        typer.Option(
            min=1,
            help="With --folds: passes of training of each new network, as laconic train does it.",
            rich_help_panel=groups.TRAINING,
        ),
    ] = 40,
    refit_lr: Annotated[
        float,
        typer.Option(help="With --folds: its learning rate at the start.", rich_help_panel=groups.TRAINING),
    ] = 0.1,
    key: options.Key = None,
    force: options.Force = False,
) -> None:
    """Select how much compression by validation: values, share of weights, rank, width or depth.

    The network is compressed with each of the values. The smallest file is taken whose mean error on validation is
    within one standard error of the least: what is within that cannot be told from it. The table says value, bytes,
    error and standard error. The test split is never read.

    By default the validation split judges. With --folds the training data do: for each fold a new network is trained
    without it, from the first weights of --net or --task, for the one given has seen them all. What is written is the
    network given, compressed with the value that was selected.

    What is finished stays in the folder OUTPUT.select: the same command goes on from there, and with more values,
    and --force for the file that is there, does the new ones alone.

    Width is --technique filters with --tensors for layers of hidden units; depth is the number of residual blocks whose
    last weights stay, --technique group_count --joint --row 'kind = "tensors"'. laconic shrink cuts out what is empty.

    Examples:
      laconic select net.pt --technique codebook --values 2,4,8,16 -o net.lac

      laconic select a.pt --technique rank --values 2,5,10 --effort train -o a.lac

      laconic select a.pt --technique keep --values 0.1,0.2 --folds 5 -o a.lac
    """
    from laconic.cli.jobs.select import Job, select

    trains = groups.given(context, groups.names(options.Training, Teaching))
    refits = groups.given(context, ("refit_epochs", "refit_lr"))
    select(
        Job(
            weights, technique, values, data, training, output, run, tensors, joint, row, effort, folds, refit_epochs,
            refit_lr, key, force, (tuple(trains), tuple(refits)), teaching,
        ),
        say,
    )  # fmt: skip
