"""`laconic compare`: several files side by side, as a table and as a page."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.errors import PlanError

_OF_DATA = (*groups.names(options.Subject, options.Run), "samples", "key")


@groups.grouped
def command(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="The .lac files.")],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="HTML", help="A page to write, too.", rich_help_panel=groups.RUN),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="REFERENCE", help="The checkpoint that they are of.", rich_help_panel=groups.WHAT),
    ] = None,
    samples: options.Samples = None,
    limit: options.Limit = None,
    force: options.Force = False,
    key: options.Key = None,
) -> None:
    """Show several .lac files side by side: bytes, bits a weight, ratio, zeros; and what each has lost.

    From the files alone, without torch. --against adds the SNR of all weights, with a network and data (--net and
    --data, or --task) as well the distance of the outputs, on samples that are held out. -o writes a page as laconic
    report does: the files beside the bound, a treemap of each, and their tensors and layers side by side.

    Examples:
      laconic compare a.lac b.lac

      laconic compare a.lac b.lac c.lac --against a.pt -o page.html

      laconic compare a.lac b.lac --against a.pt --net lenet300 --data digits
    """
    from laconic.cli.jobs.compare import Job, show

    idle = groups.given(context, _OF_DATA)
    if idle and against is None:
        raise PlanError(f"{', '.join(idle)}: goes with --against, the checkpoint to compare with")
    show(Job(tuple(files), output, against, subject, run, samples, limit, force, key), say)
