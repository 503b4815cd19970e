"""`laconic reproduce`: published experiments, run again."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output


@groups.grouped
def command(
    run: options.Run,
    say: Output,
    name: Annotated[str | None, typer.Argument(help="The recipe; without it, all are listed.")] = None,
    data_dir: options.DataDir = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The folder to write to. Default: reproduce-NAME.", rich_help_panel=groups.RUN
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Fewer points, fewer samples.")] = False,
    train: Annotated[
        bool,
        typer.Option(
            "--train", help="Train the paper's networks even without a GPU; those of gao2019 then at scale small."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start over, whatever the folder holds.", rich_help_panel=groups.RUN)
    ] = False,
) -> None:
    """Run a published experiment again, or list the experiments there are.

    Interrupted runs go on with the same command: what is finished lies in the folder. Writes result.json, report.md
    and figures.

    Examples:
      laconic reproduce

      laconic reproduce gao2019-mnist --data-dir DIR

      laconic reproduce gao2019-cifar10 --data-dir DIR -o cifar --fast
    """
    from laconic.cli.jobs import reproduce

    if name is None:
        reproduce.show(say)
    else:
        reproduce.again(say, name, output, run, data_dir=data_dir, fast=fast, train=train, force=force)
