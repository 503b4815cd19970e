"""`laconic inspect`: the account of a `.lac` file, without torch, and with it what became of the weights."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from laconic import compiled
from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.errors import PlanError


class Layout(StrEnum):
    """Layouts of others that a file is looked at in."""

    HAN = "han"


_OF_RULES = (*groups.names(options.Subject, options.Matters), "split", *groups.names(options.Run), "key")


@groups.grouped
def command(
    context: typer.Context,
    matters: options.Matters,
    subject: options.Subject,
    run: options.Run,
    say: Output,
    source: Annotated[
        Path | None,
        typer.Argument(
            help="The .lac file, or its folder; with --cost also a checkpoint, or nothing but --net or --task."
        ),
    ] = None,
    cost: Annotated[
        bool,
        typer.Option("--cost", help="What the network costs to run, layer by layer.", rich_help_panel=groups.WHAT),
    ] = False,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --cost: the profile of the machine that time is predicted for; laconic profile writes it.",
            rich_help_panel=groups.WHAT,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="With --profile: inputs that are run together there; 1.", rich_help_panel=groups.WHAT),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="The checkpoint that was compressed: what became of its weights.", rich_help_panel=groups.WHAT
        ),
    ] = None,
    split: Annotated[
        options.Split | None,
        typer.Option(
            help="Where the true distortion is measured; validation unless told.", rich_help_panel=groups.DATA
        ),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option(
            "--format",
            help="han: also the columns of Deep Compression's tables, as its layout would store what is in the file.",
            rich_help_panel=groups.WHAT,
        ),
    ] = None,
    index_bits: Annotated[
        int | None,
        typer.Option(
            min=1, max=16, help="With --format han: bits of a relative index; 5.", rich_help_panel=groups.WHAT
        ),
    ] = None,
    limit: options.Limit = None,
    key: options.Key = None,
) -> None:
    """Show where the bytes of a .lac file are: shape, code, exact bytes, entropy and share of every tensor.

    Two ratios are given. File to file: bytes of the uncompressed checkpoint over bytes of this file. And ρ as the
    publications count: fixed-length indices, coordinate lists, no entropy coding, no headers.

    A file of --effort calibrate says how many bits a weight it is above R(D) under what its layers read, and where they
    are; and of each layer the golden rules there: residual tr(E Σ Ŵᵀ) / tr(Ŵ Σ Ŵᵀ), and objective tr(E Σ Eᵀ) /
    tr(W Σ Wᵀ), also with the factor α that makes the residual 0. No data is needed.

    With --against the golden rules of rate distortion follow, for each tensor that was changed: the objective,
    (w − ŵ)ᵀ I (w − ŵ); the residual, how far from orthogonal ŵ and its error are under I, 0 to 1, which is 0 at an
    optimum; and the SNR. I is the unit matrix, or with a task an --importance, "unsupervised" unless told. That one
    predicts the distortion of the outputs, which is measured beside it: E‖f_w − f_ŵ‖² for regression, E KL(f_ŵ ‖ f_w)
    in nats for classification, where the prediction is half the objective.

    With --format han a table follows as in Deep Compression (Han, Mao & Dally 2016, tables 2 to 5), of each float32
    tensor with at most 256 values beside 0: the share that is kept, bits of a value and of a relative index, fixed and
    Huffman-coded, in the mean of survivors and fillers (a filler counts as one more value), and the rates.

    With --cost the network is run once on one input, and of each layer and of all are counted: parameters;
    multiply-adds with dense weights, those of attention too, and with weights as their codes stand, factors and
    survivors alone; the bytes of activations that are written, and the most that are alive at a time; and the energy at
    45 nm, of arithmetic in float32 and of reading each stored bit once. With --profile the time that is predicted for
    that machine, and the layout, tile and threads that are best for each weight there. An operation that nobody knows
    is named.

    Examples:
      laconic inspect net.lac

      laconic inspect net.lac --cost --profile here.toml

      laconic inspect --cost --net resnet20

      laconic inspect net.lac --format han

      laconic inspect net.lac --against net.safetensors

      laconic inspect net.lac --against net.safetensors --data digits
    """
    if cost:
        from laconic.cli.jobs import cost as job  # needs torch, which an account does without

        idle = groups.given(context, ("against", "split", "layout", "index_bits", *groups.names(options.Matters)))
        if idle:
            raise PlanError(f"{', '.join(idle)}: --cost counts what is run, and needs none of these")
        if batch is not None and profile is None:
            raise PlanError("--batch: goes with --profile, which time is predicted by")
        job.show(job.Job(source, subject, key, limit, profile, batch or 1, run), say)
        return
    if source is None:
        raise typer.BadParameter("name a .lac file; without one goes --cost, with --net or --task")
    for option, value in (("--profile", profile), ("--batch", batch)):
        if value is not None:
            raise PlanError(f"{option}: goes with --cost")
    if index_bits is not None and layout is None:
        raise PlanError("--index-bits: goes with --format han, whose relative indices it is of")
    idle = groups.given(context, _OF_RULES)
    if idle and against is None:
        raise PlanError(f"{', '.join(idle)}: goes with --against, the checkpoint to compare with")
    if against is None:
        compiled.spare()  # vectors have counted a hundred million weights before Numba would be there
    from laconic.cli.jobs.inspect import inspect
    from laconic.insight.deep_compression import FULLY_CONNECTED

    rules = None
    if against is not None:
        from laconic.cli.jobs.rules import Comparison  # needs torch, which an account does without

        rules = Comparison(against, subject, matters, split, run, key)
    inspect(say, source, limit, rules, (index_bits or FULLY_CONNECTED) if layout else None)
