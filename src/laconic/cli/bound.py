"""`laconic bound`: R(D) of a network, and `.lac` files beside it."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    weights: options.Checkpoint,
    subject: options.Subject,
    run: options.Run,
    say: Output,
    files: Annotated[list[Path] | None, typer.Argument(help="The .lac files of it to measure.")] = None,
    samples: Annotated[
        int,
        typer.Option(min=1, help="With a task: training samples that inputs are read on.", rich_help_panel=groups.DATA),
    ] = 1000,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A folder to write report.md, figure.png and report.html to.",
            rich_help_panel=groups.RUN,
        ),
    ] = None,
    limit: options.Limit = None,
    force: options.Force = False,
    key: options.Key = None,
) -> None:
    """Show how many bits a weight an error takes in theory, R(D), and how far .lac files are from that.

    A file's bits are 8 x its bytes / elements of matrices and kernels, everything counted; its error is that of what
    it decompresses to. The gap is its bits less R(D) at its own error; what biases, norms and other tensors that have
    no part in the error take of it is shown as "others".

    Without a task the error is Σ (w − ŵ)² over matrices and kernels, and there are three curves. Gaussian: each tensor
    with its own mean square. A Gaussian needs more bits than any other source, so files can lie below this curve.
    Scaled Gaussian: weights with scales for rows, columns and positions (kernels by their cosines), the scales paid
    for. Laplacian: each tensor with its own mean square. None knows of correlations, and no curve is a proof.

    With a task (--net or --data, or --task) it is E ‖(W − Ŵ) x‖², summed over linear layers and convolutions, with one
    curve, Gaussian. Coder and decoder know the moments of x, which are not paid for. Files with batch normalization
    folded into layers (of compress --effort calibrate) need one: the checkpoint is folded alike.

    Examples:
      laconic bound net.safetensors a.lac b.lac -o gap

      laconic bound net.safetensors a.lac --net lenet300 --data digits
    """
    from laconic.cli.jobs.bound import Job, show

    show(Job(weights, key, tuple(files or ()), output, subject, samples, run, limit, force), say)
