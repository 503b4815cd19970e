"""`laconic frontier`: files of several sizes, and which of them are worth their bytes."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    weights: options.Checkpoint,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.", rich_help_panel=groups.RUN)],
    subject: options.Subject,
    run: options.LongRun,
    say: Output,
    bits: Annotated[
        str,
        typer.Option(metavar="LIST", help="Bits per weight of the files.", rich_help_panel=groups.WHAT),
    ] = "1.5,2,3,4",
    quality: Annotated[
        options.Quality,
        typer.Option(help="How hard to try: fast, default (3 passes), max.", rich_help_panel=groups.WHAT),
    ] = options.Quality.default,
    samples: options.Samples = None,
    key: options.Key = None,
) -> None:
    """Compress a network to several sizes by what its layers read, and show what each size is worth.

    It is `compress --effort calibrate` for each of --bits, with the statistics taken once. The folder gets
    frontier.json, frontier.png, and the .lac files on the lower convex hull of (bytes, distance of the outputs from
    the original's): a file above it is beaten by what lies beside it, and is removed. The distance is
    KL(original ‖ compressed) in nats a row of logits on samples that are held out, for outputs that are values their
    squared change over the variance.

    Beside each file stands R(D) at its distance: the bits a weight that Gaussian weights of the layers' mean squares
    need in theory, inputs with all their correlations, which nothing pays for. It is no floor for other weights.

    A run that is stopped or killed goes on with the same command and --resume, at the weight that it was at.

    Examples:
      laconic frontier net.safetensors -o curve --net lenet300 --data digits

      laconic frontier a.pt -o curve --task mine:make --bits 1,2 --quality max
    """
    from laconic.cli.jobs.frontier import Job, draw

    draw(Job(weights, key, output, subject, tuple(options.numbers(bits)), quality, samples, run), say)
