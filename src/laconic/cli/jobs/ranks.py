"""`laconic compress` on several ranks: what goes with them, what each has, and what rank 0 writes and says."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from laconic import __version__
from laconic.cli import options
from laconic.cli.console import Output, in_bytes
from laconic.cli.groups import values
from laconic.cli.jobs.direct import within_budget
from laconic.cli.jobs.figures import report, worth
from laconic.cli.jobs.folders import Written
from laconic.cli.jobs.running import resumable
from laconic.cli.jobs.workers import exchange_of
from laconic.cli.schedule import Machines
from laconic.errors import PlanError
from laconic.format import container
from laconic.insight.ledger import ledger
from laconic.lc.ranks import write
from laconic.machines.exchange import Exchange
from laconic.machines.sharing import Sharing
from laconic.machines.wires import Wires
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.training.task import Task


def require_for_ranks(
    machines: Machines, wires: Wires | None, effort: options.Effort, of_one: Mapping[str, object],
    of_training: Mapping[str, object],
) -> None:  # fmt: skip
    """Check that what is asked is what several ranks do.

    Args:
        machines: as typed.
        wires: between the ranks, if there are several.
        effort: likewise.
        of_one: options that one process heeds, with their values.
        of_training: options that several heed in training alone.

    Raises:
        PlanError: for what they do not.
    """
    if wires is None:
        return
    train = effort is options.Effort.train
    if effort is options.Effort.calibrate:
        raise PlanError("--effort calibrate is for one process, as it is sequential: leave out torchrun")
    named = [option for option, value in (of_one if train else {**of_one, **of_training}).items() if value]
    if named:
        direct = "" if train else "; of the weights alone they meet a budget, as --bits 3"
        raise PlanError(f"{', '.join(named)}: several ranks do not do this{direct}. Leave it out, or torchrun")
    idle = [option for option, value in values(replace(machines, timeout=0.0)).items() if value and not train]
    if idle:
        raise PlanError(f"{', '.join(idle)}: only --effort train takes this")


def require_alone(wires: Wires | None) -> None:
    """Check that a checkpoint of which nothing changes is recoded by one process.

    Raises:
        PlanError: where there are several: each would write all of it.
    """
    if wires is not None:
        raise PlanError("a checkpoint of which nothing changes is recoded by one process: leave out torchrun")


def within_by_ranks(
    say: Output, network: Untied, budget: Budget, kept: Sequence[str], quality: options.Quality,
    notes: Mapping[str, str], threads: int | None, file: Written, wires: Wires, *, table: bool,
) -> None:  # fmt: skip
    """Meet a budget by the weights alone, write and print; each rank reads its own tensors.

    Args:
        say: how this process talks.
        network: whose tensors are read when they are asked for.
        budget: of the whole file.
        kept: patterns of tensors that stay lossless, which all ranks read.
        quality: how hard to try.
        notes: metadata of the file.
        threads: of each rank.
        file: where it goes.
        wires: between the ranks.
        table: whether every tensor is shown.
    """
    sharing = Sharing.of({name: tensor.nbytes for name, tensor in network.params.items()}, wires)
    sharing.require_same(repr((sharing.owners, budget, kept, quality, notes, __version__)))
    plan = Plan({}).keeping(kept)
    result = within_budget(say, network, budget, plan, None, quality, notes, None, threads, sharing)
    with resumable(file.path):
        with file.placed(result, worth(result)) if sharing.leads else nullcontext(file.path) as path:
            within = file.beside is not None
            write(path, result.codes, result.metadata, sharing, force=file.force, within_safetensors=within)
        if not sharing.leads:
            return
        with container.open(file.path, sys.maxsize) as written:
            codes = written.codes() if table or say.json else {}
            report(say, replace(result, codes=codes), file, None, table=table, account=ledger(written))


def exchange_for_lc(machines: Machines, task: Task, wires: Wires | None, seed: int) -> Exchange | None:
    """Return how ranks exchange gradients in L steps, of which each is a beginning: no codec warms up."""
    if wires is None:
        return None
    shapes = {name: tuple(leaf.shape) for name, leaf in task.module.named_parameters() if leaf.requires_grad}
    exchange = exchange_of(machines, wires, shapes, seed, 0)
    return replace(exchange, scheme=replace(exchange.scheme, warm_up=0))


def moved_by(exchange: Exchange) -> str:
    """Return what this process has moved, as a sentence."""
    wires = exchange.wires
    pushed, pulled = (in_bytes(count / len(wires.own)) for count in (wires.traffic.pushed, wires.traffic.pulled))
    return f"{wires.count} ranks: each pushed {pushed} and pulled {pulled}, gradients and codes"
