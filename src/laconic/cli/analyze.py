"""`laconic analyze`: which weights take the bytes, which matter, and why each was compressed as it was."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.errors import PlanError


@groups.grouped
def command(
    weights: Annotated[
        Path, typer.Argument(help="The checkpoint, of safetensors or torch.save; or a plan that --choose has written.")
    ],
    subject: options.Subject,
    run: options.Run,
    say: Output,
    bits: Annotated[
        float, typer.Option(min=0, help="Bits per weight of all integers.", rich_help_panel=groups.WHAT)
    ] = 2.0,
    plan: Annotated[
        Path | None,
        typer.Option(help="A TOML plan to write, with a grid for each weight.", rich_help_panel=groups.RUN),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A figure to write, .png.", rich_help_panel=groups.RUN)
    ] = None,
    samples: options.Samples = None,
    force: options.Force = False,
    key: options.Key = None,
) -> None:
    """Rank the weights of a network by what compressing each does to the outputs.

    All weights are looked at with one price of an error, the water level at which they take --bits together. For each:
    the bytes of its integers; its worth, what a squared error of what it writes adds to the distance of the outputs;
    the damage that this predicts; and the damage that is measured on samples that are held out, with this weight alone
    compressed, and its bias to make good the mean. The distance is KL(original ‖ compressed) in nats a row of logits,
    for outputs that are values their squared change over the variance. Batch normalization stays as it is.

    With --plan there is a plan to begin with: each weight on a uniform grid at this level, biases and the rest
    lossless. Edit it, and give it to compress --plan.

    Of a plan that compress --choose --write-plan has written it shows the choice: what each weight got, what would have
    come next and what that would cost more, and every file that was measured. It needs no network then.

    Examples:
      laconic analyze net.safetensors --net lenet300 --data digits

      laconic analyze a.pt --task mine:make --bits 1.5 -o damage.png --plan a.toml

      laconic analyze chosen.toml
    """
    from laconic.cli.jobs import choosing
    from laconic.cli.jobs.analyze import Job, show

    if weights.suffix == ".toml":
        if plan is not None or output is not None:
            raise PlanError("of a plan the choice is shown, and nothing is written: leave --plan and --output out")
        choosing.show(weights, say)
    else:
        show(Job(weights, key, subject, bits, plan, output, samples, run, force), say)
