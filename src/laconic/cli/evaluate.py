"""`laconic evaluate`: loss and error of weights on data."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    weights: Annotated[Path, typer.Argument(help="A .lac file, or a checkpoint of safetensors or torch.save.")],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    split: Annotated[
        options.Split, typer.Option(help="Which part of the data.", rich_help_panel=groups.DATA)
    ] = options.Split.test,
    limit: options.Limit = None,
    key: options.Key = None,
) -> None:
    """Measure the loss and the error of a checkpoint or of a .lac file, exactly as it decompresses.

    Network and data are taken from the file where it names them.

    Examples:
      laconic evaluate net.lac --data-dir DIR

      laconic evaluate net.pt --net lenet300 --data digits --split validation
    """
    from laconic.cli.jobs.evaluate import evaluate

    evaluate(say, weights, key, subject, run, split, limit)
