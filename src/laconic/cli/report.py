"""`laconic report`: one page that shows where the bytes of a file are, what they cost, and why quality fell."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.errors import PlanError

_OF_DATA = (*groups.names(options.Subject, options.Run), "samples", "plan", "time", "key")


@groups.grouped
def command(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="The .lac file.")],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page to write; FILE.html unless told.", rich_help_panel=groups.RUN),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="REFERENCE",
            help="The checkpoint that was compressed: errors, bound, histograms.",
            rich_help_panel=groups.WHAT,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="LOG", help="What compress --log has written: the path of training.",
            rich_help_panel=groups.WHAT,
        ),
    ] = None,
    frontier: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="What laconic frontier has written: the file among others.",
            rich_help_panel=groups.WHAT,
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="TOML", help="With data: a plan to write, with the rows that would mend the file.",
            rich_help_panel=groups.RUN,
        ),
    ] = None,
    overlays: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Node data for Google's Model Explorer: a file of JSON for each number.",
            rich_help_panel=groups.RUN,
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The same as events, where TensorBoard is.", rich_help_panel=groups.RUN),
    ] = None,
    time: Annotated[
        bool, typer.Option("--time", help="With data: time calls, before and after.", rich_help_panel=groups.WHAT)
    ] = False,
    samples: options.Samples = None,
    limit: options.Limit = None,
    force: options.Force = False,
    key: options.Key = None,
) -> None:  # fmt: skip
    """Write one page that shows where the bytes of a .lac file are, what they cost, and why quality fell.

    It is one HTML file: nothing is fetched, it opens from disk, is read on a telephone, and prints; every figure has a
    table behind it. What is not given leaves a part empty, which names the option that fills it.

    From the file alone, without torch: a treemap of its bytes by tensor, coloured by bits a weight; for each tensor
    coded weights, what stands beside them (scales, steps, codebooks, tables) and the ideal; how tensors are stored, and
    zeros; and the stages from the checkpoint to the file, as the ledger counts each: they add up.

    --against adds the error of each tensor, the file beside R(D), round to nearest and a plain grid, and weights before
    and after as histograms. --frontier adds its neighbours, --run the path of a training run and what is to be said of
    it.

    With a network and data (--net and --data, or --task) as well: the distance of the outputs, on samples that are held
    out, with each layer by itself as in the file; and for the worst weights a row of a plan that has one bit more, with
    the bytes and the distance that it comes to, measured. --plan writes the rows: compress --plan of it, with --size as
    the page tells, makes that file. There are no rows of a file of --effort calibrate, which has shared its bits by
    what outputs say, nor of one whose weights are on no grids. Also multiply-adds and energy, before and after; --time
    adds milliseconds of calls in torch, of the checkpoint and of what the file leaves to run: what is empty is cut out,
    and products are thin layers.

    --overlays writes bytes, bits a weight, zeros and, where they are known, errors and damage of each tensor for the
    nodes of a graph in Model Explorer (Node data, Load from computer); --tensorboard hands all of it on, with
    histograms and the path of a run.

    Examples:
      laconic report net.lac

      laconic report net.lac --against net.safetensors -o page.html

      laconic report a.lac --against a.pt --net lenet300 --data digits

      laconic report a.lac --against a.pt --task mine:make --plan mend.toml

      laconic report net.lac --run run.jsonl --json
    """
    from laconic.cli.jobs.report import Job, show

    idle = groups.given(context, _OF_DATA)
    if idle and against is None:
        raise PlanError(f"{', '.join(idle)}: goes with --against, the checkpoint to compare with")
    if plan is not None and not subject.named:
        raise PlanError("--plan: rows are for what data show; name --net and --data, or --task")
    if time and not subject.named:
        raise PlanError("--time: calls want inputs: name --net and --data, or --task")
    others = plan, overlays, tensorboard, samples, limit, force, key, time
    show(Job(source, output, against, subject, run, log, frontier, *others), say)
