"""`laconic shrink`: a network that is smaller where it runs."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    source: Annotated[Path, typer.Argument(help="A .lac file, or a checkpoint of safetensors or torch.save.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .lac file to write.", rich_help_panel=groups.RUN)],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    multiple: Annotated[
        int,
        typer.Option(
            min=1, help="Channels stay, though empty, up to a multiple of so many.", rich_help_panel=groups.WHAT
        ),
    ] = 1,
    keep_inputs: Annotated[
        bool,
        typer.Option(
            "--keep-inputs",
            help="Layers read all inputs of the network, with zeros for those that nobody needs: faster for many "
            "samples.",
            rich_help_panel=groups.WHAT,
        ),
    ] = False,
    limit: options.Limit = None,
    key: options.Key = None,
    force: options.Force = False,
) -> None:
    """Make a network physically smaller: neurons, filters, channels and heads that compression has emptied are gone.

    Outputs stay what they were, within 1e-5 of the largest: that is tried on data, or on random inputs where no --data
    is named, before anything is written. Factored layers become thin ones where that is fewer multiply-adds. What could
    not be removed is named, with the reason.

    A layer that reads some inputs of the network alone, such as pixels, selects these. For one sample at a time that
    costs nothing; for 32 a product with zeros for the others was twice as fast (LeNet-300-100, 400 of 784 pixels, in
    onnxruntime): --keep-inputs.

    In Python laconic.load("small.lac", Net()) makes a fresh network of the class Net as small, and fills it.

    Examples:
      laconic shrink net.lac --net lenet300 -o small.lac

      laconic shrink net.lac --net lenet300 -o small.lac --keep-inputs

      laconic shrink net.lac --task mine:task --multiple 8 -o small.lac
    """
    from laconic.cli.jobs.shrink import shrink

    shrink(
        say, source, output, subject, run, multiple=multiple, keep_inputs=keep_inputs, limit=limit, key=key, force=force
    )
