"""`laconic train`: a reference network from a data set."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.cli.schedule import Machines, Schedule


@groups.grouped
def command(
    data: options.Data,
    schedule: Schedule,
    machines: Machines,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).", rich_help_panel=groups.RUN)
    ],
    run: options.LongRun,
    say: Output,
) -> None:
    """Train a reference network: SGD with Nesterov momentum, and a checkpoint after every epoch.

    With --regularize it comes out near low rank, and laconic compress --rank truncates it then. Where the rank is
    known, laconic compress --rank --effort train has it for a constraint, and no price to choose.

    Under torchrun --nproc-per-node 2 -m laconic train ... each process is a worker, which takes its share of every
    batch; worker 0 prints and writes. All must see the same data, and the same checkpoint for --resume. With
    --gradients terngrad, qsgd or dgc their gradients travel in few bits, and the report says in how many bytes.

    Examples:
      laconic train --net lenet300 --data digits -o digits.safetensors --lr 0.05

      laconic train --net lenet5 --data mnist --data-dir DIR -o mnist.safetensors

      laconic train --task mine:make -o mine.safetensors

      laconic train --task m:f -o a.safetensors --regularize nuclear --price 0.01

      laconic train --task m:f -o a.safetensors --simulate-workers 4
    """
    from laconic.cli.jobs.train import Job, train_network

    train_network(Job(output, data, schedule, machines, run), say)
