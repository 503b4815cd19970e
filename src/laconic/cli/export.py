"""`laconic export`: a `.lac` file as a graph that runs in onnxruntime."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


class Precision(StrEnum):
    """What a graph multiplies."""

    float = "float"
    int8 = "int8"
    int4 = "int4"


@groups.grouped
def command(
    weights: Annotated[Path, typer.Argument(help="The .lac file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The graph to write (.onnx).", rich_help_panel=groups.RUN)
    ],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of dense layers and convolutions: int8 for both, int4 for dense layers, for one sample at a time.",
            rich_help_panel=groups.WHAT,
        ),
    ] = Precision.float,
    requantize: Annotated[
        bool,
        typer.Option(
            "--requantize",
            help="Make integers for the graph where the file has others, or none; what that costs is shown.",
            rich_help_panel=groups.WHAT,
        ),
    ] = False,
    external: Annotated[
        bool,
        typer.Option(
            "--external-data",
            help="Constants in a file beside the graph, as they are from 1.5 GB on.",
            rich_help_panel=groups.WHAT,
        ),
    ] = False,
    original: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="The original, to be timed beside it.", rich_help_panel=groups.DATA),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Samples to compare outputs on.", rich_help_panel=groups.DATA)
    ] = 1024,
    limit: options.Limit = None,
    force: options.Force = False,
) -> None:
    """Turn a .lac file into a graph of ONNX that has been tried and timed.

    Low-rank layers run as two thin ones; the number of samples is dynamic. The graph is run in onnxruntime beside the
    decompressed network: the largest difference of outputs, KL and flips of the largest logit are shown, and in floats
    a difference above 1e-4 of the largest output is an error. Times are medians of calls by turns.

    Integers are those of the file where it has some that a graph multiplies: `{ block = 32 }` in a plan makes them for
    int4. Others are made with --requantize alone.

    Examples:
      laconic export net.lac -o net.onnx --data-dir DIR

      laconic export net.lac -o net.onnx --task mine:make --precision int4

      laconic export net.lac -o net.onnx --precision int8 --requantize
    """
    from laconic.cli.jobs.export import Job, export

    export(
        Job(weights, output, subject, precision.value, requantize, external, original, samples, run, force, limit), say
    )
