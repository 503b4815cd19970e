"""`laconic techniques`: what a plan can ask for."""

from typing import Annotated

import typer

from laconic.cli import groups
from laconic.cli.console import Output


@groups.grouped
def command(
    say: Output,
    name: Annotated[str | None, typer.Argument(help="One of them, for its parameters. Default: list all.")] = None,
) -> None:
    """List what a plan can ask for: each technique, whether it is exact, and the metrics that it honours.

    A row of a plan is a table of one technique's parameters, of which the first names it. Every row also takes
    joint = true: one constraint over all its tensors.

    Examples:
      laconic techniques

      laconic techniques keep

      laconic techniques --json
    """
    from laconic.cli.jobs.techniques import show

    show(say, name)
