"""What `laconic select` does: a table of values by validation, and the file of the one that is selected."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch

from laconic import interrupts
from laconic.cli import options
from laconic.cli.console import Output, in_bytes, interruptible, table
from laconic.cli.groups import values
from laconic.cli.jobs.metadata import carried
from laconic.cli.jobs.planning import learning_of
from laconic.cli.jobs.tasks import BATCH, doubts, fitting, known_again, opened, task_for
from laconic.cli.jobs.teaching import taught
from laconic.cli.teaching import Teaching
from laconic.errors import PlanError
from laconic.experiments.recipes.cache import Cache
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.models.checkpoints import checkpoint_size
from laconic.models.directories import sha256_of
from laconic.models.params import params_of
from laconic.plans.toml import inline_table
from laconic.selection import Selected, varied
from laconic.selection import select as selected
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task


@final
@dataclass(frozen=True)
class Job:
    """A network, the numbers that are tried on it, and where the file goes.

    Args:
        typed: the options of training that stand on the command line, and those of training for folds.
    """

    weights: Path
    technique: str
    values: str
    data: options.Data
    training: options.Training
    output: Path
    run: options.Run
    tensors: str | None
    joint: bool
    row: str
    effort: options.Effort
    folds: int
    refit_epochs: int
    refit_lr: float
    key: str | None
    force: bool
    typed: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    teaching: Teaching = field(default_factory=Teaching)

    @property
    def folder(self) -> Path:
        """Where points are kept."""
        return self.output.with_name(self.output.name + ".select")

    @property
    def trains(self) -> bool:
        """Whether it is by LC."""
        return self.effort is options.Effort.train

    def labels(self, task: Task) -> dict[str, Any]:
        """Return what must be the same for points to be used again: all but the numbers."""
        chosen: dict[str, Any] = {
            "--technique": self.technique, "--tensors": self.tensors, "--joint": self.joint, "--row": self.row,
            "--batch": self.data.batch or BATCH,
            "--effort": self.effort.value, "--folds": self.folds, "--seed": self.run.seed, "--key": self.key,
            "--threads": torch.get_num_threads(), "the checkpoint's SHA-256": sha256_of(self.weights),
            **known_again(task, self.data.task),
        }  # fmt: skip
        chosen |= {"--refit-epochs": self.refit_epochs, "--refit-lr": self.refit_lr} if self.folds else {}
        trained = {option: str(value) for option, value in values(self.training).items()} if self.trains else {}
        return chosen | trained


def select(job: Job, say: Output) -> None:
    """Try the numbers, write the file of the one that is selected, and print the table."""
    _require_fitting(job)
    options.require_output(job.output, ".lac", force=job.force)
    row = inline_table(job.row, "--row") if job.row else None
    make, numbers = varied(job.technique, job.tensors, joint=job.joint, row=row), options.numbers(job.values)
    for number in numbers:
        make(number)  # says what is wrong with it before anything is read
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    checkpoint = opened(say, job.weights, job.key)
    task = task_for(say, job.data, checkpoint.metadata, batch=job.data.batch or BATCH, seed=job.run.seed)
    params = fitting(checkpoint.params, task)
    say.note(*doubts(params, task, checkpoint.metadata))
    notes, left_out = carried(checkpoint.metadata, job.weights)
    say.note(*left_out)
    task, teachers = taught(say, job.teaching, task, job.data, params)
    cache = Cache(job.folder, {**job.labels(task), **teachers}, force=job.force, same=True)
    with interruptible(lambda: f"What is finished lies in {job.folder}: the same command goes on from there"):
        try:
            with say.progress("selecting", 1.0) as tick:
                found = selected(
                    params, make, numbers, task, "train" if job.trains else "direct", folds=job.folds,
                    fresh=params_of(task.module), refit=Optimization(job.refit_epochs, job.refit_lr, cosine),
                    training=learning_of(job.training) if job.trains else None,
                    metadata={**notes, REFERENCE_BYTES: str(checkpoint_size(params))}, seed=job.run.seed,
                    keep=cache.point, say=tick,
                )  # fmt: skip
        finally:
            cache.leave()
        found.result.save(job.output, force=job.force)
        _tell(say, job, task, found)
        interrupts.finish()


def _require_fitting(job: Job) -> None:
    """Check that no option is of another effort.

    Raises:
        PlanError: for one that is.
    """
    trains, refits = job.typed
    if job.effort is options.Effort.calibrate:
        raise PlanError("--effort calibrate meets a budget; a number is selected with direct or train")
    if trains and not job.trains:
        raise PlanError(f"{', '.join(trains)}: only --effort train takes this")
    if job.training != replace(job.training, log=None, keep_points=None):
        raise PlanError("--log and --keep-points are of one run of laconic compress; here there is one for each number")
    if job.teaching and job.folds:
        raise PlanError(
            "--distill does not go with --folds: a teacher that was trained on all samples has seen each fold"
        )
    if refits and not job.folds:
        raise PlanError(f"{', '.join(refits)}: only --folds takes this")


def _tell(say: Output, job: Job, task: Task, found: Selected) -> None:
    """Print the table."""
    unit = "error, %" if "error" in task.measures else "loss"
    columns = dict.fromkeys((job.technique, "bytes", unit, "± standard error"), "right") | {"": "left"}
    rows = [
        (f"{one['value']:g}", f"{one['bytes']:,}", *map(_shown, (one["error"], one["standard_error"])),
         ", ".join(mark for mark in ("least", "chosen") if one[mark]))
        for one in found.records()
    ]  # fmt: skip
    judges = f"{job.folds} folds of the training data" if job.folds else "the validation split"
    record = {
        "output": str(job.output), "bytes": found.result.file_bytes, "technique": job.technique, "value": found.value,
        "judged_by": judges, "unit": unit, "folds": job.folds, "values": found.records(), "seed": job.run.seed,
    }  # fmt: skip
    say.report(
        record, table(f"{job.technique}, judged by {judges}", columns, rows),
        f"{job.technique} {found.value:g}: the smallest within one standard error of the least",
        f"wrote {job.output}, {in_bytes(found.result.file_bytes)}",
    )  # fmt: skip


def _shown(number: float | None) -> str:
    """Return a number of the table."""
    return "not finite" if number is None else f"{number:.4g}"
