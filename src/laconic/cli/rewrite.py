"""`laconic rewrite`: a standard convolutional network as a compact one."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


class Between(StrEnum):
    """What stands between the two convolutions of a separable layer."""

    nothing = "nothing"
    norm = "norm"
    relu = "relu"


@dataclass(frozen=True)
class Layers:
    """Which layers become what, by patterns: 'layer2.*, conv1' or class:Conv2d; '' for none."""

    panel: ClassVar[str] = groups.WHAT
    separable: Annotated[
        str,
        typer.Option(metavar="PATTERN", help="Convolutions that become depthwise and pointwise ones."),
    ] = "*"
    pointwise: Annotated[
        str,
        typer.Option(metavar="PATTERN", help="Convolutions of which one tap is left, as 3x3 to 1x1. These win."),
    ] = ""
    pooled: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="Dense layers on flattened maps that read the mean of each map instead (global average pooling).",
        ),
    ] = "*"
    rank: Annotated[
        int, typer.Option(min=1, help="Depthwise kernels for each channel: more are nearer, and cost more.")
    ] = 1
    between: Annotated[
        Between,
        typer.Option(help="Between the two convolutions: nothing, norm (batch normalization), or relu (and a ReLU)."),
    ] = Between.nothing


@groups.grouped
def command(
    source: Annotated[Path, typer.Argument(help="A checkpoint of safetensors or torch.save, or a .lac file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).", rich_help_panel=groups.RUN)
    ],
    layers: Layers,
    subject: options.Subject,
    run: options.Run,
    say: Output,
    samples: Annotated[
        int,
        typer.Option(
            min=1, help="Training samples that are looked at, a fifth to judge by.", rich_help_panel=groups.DATA
        ),
    ] = 256,
    limit: options.Limit = None,
    key: options.Key = None,
    force: options.Force = False,
) -> None:
    """Rewrite a standard convolutional network as a compact one: depthwise and pointwise layers in place of others.

    New weights are the nearest ones to the old, by least squares under what each layer reads on the training data, or
    with all inputs alike where no --data is named. What stays as it was is named, with the reason. That is a beginning:
    the network is worse than it was until it has learned again, best from the one that it was.

    The file tells what was rewritten: train --from, compress, evaluate, inspect --cost and export take it as it is. In
    Python laconic.load("net.lac", Net()) makes a fresh network of the class alike, and fills it.

    Examples:
      laconic rewrite net.safetensors --net lenet5 -o small.safetensors

      laconic rewrite a.pt --task mine:task -o b.safetensors --between norm

      laconic rewrite a.pt --task m:f -o b --separable "layer*" --pointwise "s*"

      laconic train --from b.safetensors --distill a.safetensors -o c.safetensors
    """
    from laconic.cli.jobs.rewrite import rewrite

    rewrite(say, source, output, layers, subject, run, samples=samples, limit=limit, key=key, force=force)
