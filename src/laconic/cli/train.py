"""`laconic train`: a reference network from a data set."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.cli.schedule import Schedule
from laconic.cli.teaching import Teaching


@groups.grouped
def command(
    data: options.Data,
    schedule: Schedule,
    teaching: Teaching,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).", rich_help_panel=groups.RUN)
    ],
    run: options.LongRun,
    say: Output,
) -> None:
    """Train a reference network: SGD with Nesterov momentum, and a checkpoint after every epoch.

    With --regularize it comes out near low rank, and laconic compress --rank truncates it then. Where the rank is
    known, laconic compress --rank --effort train has it for a constraint, and no price to choose.

    With --distill it learns from another network, too: a small one from a large one that has been trained, or from
    several. That one may be of any kind that reads the same inputs.

    Examples:
      laconic train --net lenet300 --data digits -o digits.safetensors --lr 0.05

      laconic train --net lenet5 --data mnist --data-dir DIR -o mnist.safetensors

      laconic train --task mine:make -o mine.safetensors

      laconic train --task m:f -o a.safetensors --regularize nuclear --price 0.01

      laconic train --net mlp256 --data mnist -o a.safetensors --distill b.lac
    """
    from laconic.cli.jobs.train import Job, train_network

    train_network(Job(output, data, schedule, run, teaching), say)
