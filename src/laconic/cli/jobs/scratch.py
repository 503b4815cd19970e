"""What `laconic scratch` does: a narrow network trained from fresh weights, as a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import nn

from laconic import interrupts
from laconic.api import compress
from laconic.cli.console import Output, in_bytes
from laconic.cli.jobs.running import going_on, resumable
from laconic.cli.jobs.tasks import BATCH, evaluations, known_again, task_for, weights_of
from laconic.cli.jobs.tickets import first_weights
from laconic.cli.jobs.train_states import Kept, load, save
from laconic.cli.options import Data, LongRun, require_output
from laconic.cli.scratch import Spend
from laconic.deploy.edits import METADATA, edits_of
from laconic.format.files import sha256
from laconic.models.params import Params
from laconic.plans.plan import Plan
from laconic.scratch.narrow import Scratch, from_scratch
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task
from laconic.training.trainer import TrainState


@final
@dataclass(frozen=True)
class Job:
    """Whose widths, what is trained, and where it goes."""

    source: Path
    data: Data
    output: Path
    run: LongRun
    spend: Spend
    epochs: int
    lr: float
    weight_decay: float

    @property
    def checkpoint(self) -> Path:
        """The file of the state that a run goes on from."""
        return self.output.with_name(self.output.name + ".checkpoint")

    def labels(self, task: Task) -> dict[str, str]:
        """Return what must be the same when it is resumed."""
        same = {
            "the widths' SHA-256": sha256(self.source), "--spend": self.spend.value, "--epochs": self.epochs,
            "--lr": self.lr, "--weight-decay": self.weight_decay, "--batch": self.data.batch or BATCH,
            "--seed": self.run.seed, "--threads": torch.get_num_threads(),
            **known_again(task, self.data.task),
        }  # fmt: skip
        return {key: str(value) for key, value in same.items()}


def train_narrow(job: Job, say: Output) -> None:
    """Train, write and print."""
    run, checkpoint = job.run, job.checkpoint
    require_output(job.output, ".lac", force=run.force or (run.resume and checkpoint.exists()))
    torch.set_num_threads(run.threads or torch.get_num_threads())
    metadata = weights_of(say, job.source).metadata
    edits = edits_of(metadata)
    wide = {key: value for key, value in metadata.items() if key != METADATA}
    task = task_for(say, job.data, wide, batch=job.data.batch or BATCH, seed=run.seed)
    labels = job.labels(task)
    saved = going_on(say, checkpoint, resume=run.resume, force=run.force)
    state = load(checkpoint, labels).state if saved else None
    how = Optimization(job.epochs, job.lr, cosine, job.weight_decay)

    def draw(module: nn.Module, seed: int) -> Params:
        return first_weights(module, task.metadata, seed)

    with resumable(job.output, checkpoint):
        with say.progress("training", 1.0) as tick:

            def watch(reached: TrainState, epochs: int) -> None:
                save(checkpoint, Kept(reached), labels)
                tick(reached.epoch / epochs, f"epoch {reached.epoch}/{epochs}, loss {reached.loss:.4f}")

            ran = from_scratch(task, edits, how, job.spend.value, draw=draw, seed=run.seed, resume=state, watch=watch)
        notes = {**task.metadata, METADATA: edits.dumps(), "seed": str(run.seed)}
        result = compress(ran.weights, Plan({}), effort="direct", metadata=notes)
        result.save(job.output, force=run.force or saved)
        _tell(say, job, ran)
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)


def _tell(say: Output, job: Job, ran: Scratch) -> None:
    """Evaluate and print."""
    metrics, size = evaluations(ran.task, ran.weights, say), job.output.stat().st_size
    lines = [f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in own.items()) for split, own in metrics.items()]
    record = {
        "output": str(job.output), "bytes": size, "epochs": ran.epochs, "times_fewer_multiply_adds": ran.ratio,
        "seed": job.run.seed, **metrics,
    }  # fmt: skip
    wrote = f"wrote {job.output}, {in_bytes(size)}: {ran.epochs} epochs, {ran.ratio:.2f} × fewer multiply-adds"
    say.report(record, wrote, *lines)
