"""`laconic profile`: what this machine takes for the layers of networks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


class Runtime(StrEnum):
    """What runs a network."""

    torch = "torch"
    onnxruntime = "onnxruntime"


@groups.grouped
def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The profile to write, .toml.", rich_help_panel=groups.RUN)
    ],
    say: Output,
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the network here.", rich_help_panel=groups.WHAT)
    ] = Runtime.torch,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="A number of threads to try; may be repeated. 1 and all cores unless you say.",
            rich_help_panel=groups.RUN,
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Of the machine; what the system says unless told.", rich_help_panel=groups.WHAT)
    ] = "",
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A few shapes, a few runs each: a second, rough.", rich_help_panel=groups.RUN),
    ] = False,
    force: options.Force = False,
) -> None:
    """Measure what this machine takes for the layers of networks, and write it to a file.

    Dense layers, convolutions and grouped ones over a list of shapes, each weight as it is, transposed, in tiles and
    with channels last; at one input and at 32; on one thread and on all cores; and what is no product. Some minutes,
    or a second with --quick. The median of each is kept, after runs that warm up. One thread is timed by the clock of
    its own work, several by the wall: leave the machine alone meanwhile.

    inspect --cost --profile FILE predicts from it what a network takes, and says which layout is best for each of its
    layers. compress --target FILE chooses what has a price in time for this machine. A device that cannot be measured
    here is described by hand: docs/notes/cost.md.

    Examples:
      laconic profile -o here.toml

      laconic profile -o here.toml --quick --threads 1

      laconic profile -o onnx.toml --runtime onnxruntime
    """
    from laconic.cli.jobs.profile import Job, profile

    profile(Job(output, runtime.value, tuple(threads or ()), name, quick, force), say)
