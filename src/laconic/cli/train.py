"""`laconic train`: a reference network from a data set."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.among import Among
from laconic.cli.console import Output
from laconic.cli.layers import Layers
from laconic.cli.schedule import Machines, Schedule
from laconic.cli.teaching import Teaching


@groups.grouped
def command(
    data: options.Data,
    schedule: Schedule,
    teaching: Teaching,
    layers: Layers,
    among: Among,
    machines: Machines,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).", rich_help_panel=groups.RUN)
    ],
    run: options.LongRun,
    say: Output,
    begin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Weights to begin with, a checkpoint or a .lac file: of the network, or of one that rewrite or shrink "
            "has made of it.",
            rich_help_panel=groups.DATA,
        ),
    ] = None,
) -> None:
    """Train a reference network: SGD with Nesterov momentum, and a checkpoint after every epoch.

    With --regularize it comes out near low rank, and laconic compress --rank truncates it then. Where the rank is
    known, laconic compress --rank --effort train has it for a constraint, and no price to choose.

    With --weights each weight has one bit in every forward pass, or three values, while real ones are kept for the
    optimizer. What is written has those values: laconic compress --codebook 2 (ternary: 3) holds them exactly, at a bit
    a weight. Rates differ from those of real weights: try --lr 0.03 to 0.3. Of --activations the checkpoint tells, so
    that evaluate and compress run the network with them.

    With --from it does not begin with fresh weights but with those of a file, and is as small as that: what laconic
    rewrite or shrink has made learns again what it was, best with the original for a teacher.

    With --distill it learns from another network, too: a small one from a large one that has been trained, or from
    several. That one may be of any kind that reads the same inputs.

    It can also look within a teacher. --hint: in a stage of its own before, it learns to predict what a layer of the
    teacher writes. --attention: all along, it learns to be active where the teacher is. Both name layers as
    TEACHER'S:STUDENT'S, by their names in the module; a wrong name is answered with near ones.

    With --codistill several launches learn from each other while they train, on one machine or on many: each has the
    folder, its own --peer and its own -o. One that dies is told of, and the others go on. What is learned hangs on when
    others write, so that such runs are no function of the seed; one that is resumed reads whatever is newest then.

    Under torchrun --nproc-per-node 2 -m laconic train ... each process is a worker, which takes its share of every
    batch; worker 0 prints and writes. All must see the same data, and the same checkpoint for --resume. With
    --gradients terngrad, qsgd or dgc their gradients travel in few bits, and the report says in how many bytes.

    Examples:
      laconic train --net lenet300 --data digits -o digits.safetensors --lr 0.05

      laconic train --net lenet5 --data mnist --data-dir DIR -o mnist.safetensors

      laconic train --task mine:make -o mine.safetensors

      laconic train --task m:f -o a.safetensors --regularize nuclear --price 0.01

      laconic train --net lenet300 --data digits -o a.safetensors --weights binary

      laconic train --task m:f -o a.safetensors --weights ternary --lr 0.03

      laconic train --task m:f -o a --weights binary --activations binary

      laconic train --net mlp256 --data mnist -o a.safetensors --distill b.lac

      laconic train --from b.safetensors --distill a.safetensors -o c.safetensors

      laconic train --task m:f -o a.safetensors --hint b.lac --hint-layers fc1:fc1

      laconic train --task m:f -o a --attention b.lac --attention-layers a:b,c:d

      laconic train --task m:f -o 0.safetensors --codistill FOLDER --peer 0/2

      laconic train --task m:f -o a.safetensors --simulate-workers 4
    """
    from laconic.cli.jobs.train import Job, train_network

    train_network(Job(output, data, schedule, machines, run, teaching, layers, among, begin), say)
