"""What `laconic tickets` does: a table of levels, and the file of the last ticket."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from laconic import interrupts
from laconic.cli import options
from laconic.cli.console import Output, Tick, in_bytes, interruptible, table
from laconic.cli.jobs.tasks import BATCH, evaluations, known_again, task_for
from laconic.errors import PlanError
from laconic.experiments.recipes.cache import Cache
from laconic.models import nets
from laconic.models.params import Params, params_of
from laconic.scratch.drawing import drawn
from laconic.scratch.masks import Pruning, scattered, shuffled
from laconic.scratch.ticket import Ticket
from laconic.scratch.tickets import tickets, trained_masked
from laconic.training.optimization import Optimization, adam
from laconic.training.passes import in_batches
from laconic.training.task import Task


@final
@dataclass(frozen=True)
class Job:
    """What is trained, what goes, and where the file goes."""

    data: options.Data
    output: Path
    run: options.Run
    levels: Sequence[float]
    rate: float
    last: float | None
    joint: bool
    at_once: bool
    rewind: int
    controls: bool
    epochs: int
    every: int | None
    lr: float
    force: bool

    @property
    def folder(self) -> Path:
        """Where points are kept."""
        return self.output.with_name(self.output.name + ".tickets")

    @property
    def numbers(self) -> int | list[int]:
        """How often to prune, or which levels to make.

        Raises:
            PlanError: for what is no whole number, and several without ``at_once``.
        """
        whole = [int(level) for level in self.levels if level == int(level) and level >= 1]
        if len(whole) < len(self.levels) or (len(whole) != 1 and not self.at_once):
            raise PlanError("--levels is one whole number, such as 12; several, such as 3,7,9, go with --at-once")
        return whole if self.at_once else whole[0]

    @property
    def how(self) -> Optimization:
        """One training."""
        return Optimization(self.epochs, self.lr, optimizer=adam)

    def labels(self, task: Task) -> dict[str, Any]:
        """Return what must be the same for points to be used again: all but how many levels, and whether controls."""
        names = ("rate", "last", "joint", "at_once", "rewind", "epochs", "every", "lr")
        chosen = {"--" + name.replace("_", "-"): getattr(self, name) for name in names}
        return chosen | {
            "--batch": self.data.batch or BATCH, "--seed": self.run.seed, "--threads": torch.get_num_threads(),
            **known_again(task, self.data.task),
        }  # fmt: skip


def find(job: Job, say: Output) -> None:
    """Find tickets, write the last one, and print the table."""
    options.require_output(job.output, ".lac", force=job.force)
    pruning, numbers = Pruning(job.rate, job.last, joint=job.joint), job.numbers
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    task = task_for(say, job.data, {}, batch=job.data.batch or BATCH, seed=job.run.seed)
    cache = Cache(job.folder, job.labels(task), force=job.force, same=True)
    rows = list[tuple[str, Ticket]]()
    with interruptible(lambda: f"What is finished lies in {job.folder}: the same command goes on from there"):
        try:
            with say.progress("training", 1.0) as tick:
                count = 1 + (numbers if isinstance(numbers, int) else len(numbers))
                share = count / (count + 3 * job.controls)
                found = tickets(
                    task, numbers, job.how, every=job.every, pruning=pruning, rewind=job.rewind, at_once=job.at_once,
                    seed=job.run.seed, keep=cache.point, say=lambda done, text: tick(share * done, text),
                )  # fmt: skip
                rows += [("ticket" if one.level else "dense", one) for one in found]
                if job.controls:
                    rows += _controls(job, task, rows[-1][1], cache, tick, share)
        finally:
            cache.leave()
        ticket = [one for name, one in rows if name in ("ticket", "dense")][-1]
        notes = {**task.metadata, "seed": str(job.run.seed)}
        ticket.result(notes).save(job.output, force=job.force)
        _tell(say, job, task, rows, ticket)
        interrupts.finish()


def first_weights(module: nn.Module, metadata: Mapping[str, str], seed: int) -> Params:
    """Return first weights for a module: drawn as those of the reference network are, or as layers draw theirs."""
    row = nets.NETS.get(metadata.get("net", ""))
    if row is None:
        return drawn(module, seed)
    fresh = copy.deepcopy(module)
    row.initialize(fresh, torch.Generator().manual_seed(seed))
    return params_of(fresh)


def _controls(
    job: Job, task: Task, ticket: Ticket, cache: Cache, tick: Tick, begun: float
) -> Iterator[tuple[str, Ticket]]:  # fmt: skip
    """Yield the controls of a ticket, each trained from the first epoch on."""
    seed, first = job.run.seed, params_of(task.module)
    jobs = {
        "re-initialised": lambda: (first_weights(task.module, task.metadata, seed + 1), ticket.masks),
        "shuffled": lambda: (first, shuffled(ticket.masks, seed)),
        "random": lambda: (first, scattered(ticket.masks, seed)),
    }
    own = task if job.every is None else in_batches(task, job.every)
    for place, (name, make) in enumerate(jobs.items()):

        def told(done: float, text: str, name: str = name, place: int = place) -> None:
            tick(begun + (1 - begun) * (place + done) / len(jobs), f"{name}: {text}")

        def compute(make: Any = make, told: Any = told) -> Any:
            begin, masks = make()
            return trained_masked(own, begin, masks, job.how, seed, level=ticket.level, say=told).packed()

        yield name, Ticket.unpacked(*cache.point(f"level {ticket.level}: {name}", compute))


def _tell(say: Output, job: Job, task: Task, rows: Sequence[tuple[str, Ticket]], ticket: Ticket) -> None:
    """Print the table, and what the last ticket is worth."""
    columns = dict.fromkeys(("level", "weights left, %", "best after epoch", "validation loss there"), "right")
    shown = [
        (name, str(one.level), f"{100 * one.density:.2f}", str(one.at), f"{min(one.losses):.4g}") for name, one in rows
    ]
    records = [
        {"network": name, "level": one.level, "density": one.density, "epoch": one.at, "loss": min(one.losses)}
        for name, one in rows
    ]
    metrics, size = evaluations(task, ticket.weights, say), job.output.stat().st_size
    record = {"output": str(job.output), "bytes": size, "seed": job.run.seed, "levels": records, **metrics}
    lines = [f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in own.items()) for split, own in metrics.items()]
    wrote = f"wrote {job.output}, {in_bytes(size)}: level {ticket.level}, {100 * ticket.density:.2f} % of the weights"
    say.report(record, table("lottery tickets", {"": "left", **columns}, shown), wrote, *lines)
