"""What `laconic train` does: a reference network from a data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from laconic import interrupts
from laconic.cli.console import Output, Tick
from laconic.cli.groups import values
from laconic.cli.jobs.running import going_on, is_written, resumable
from laconic.cli.jobs.tasks import batches_per_epoch, counted, evaluations, task_for
from laconic.cli.options import Data, LongRun, Schedule, require_output
from laconic.errors import DataError
from laconic.format.files import require_absent
from laconic.models.checkpoints import checkpoint_bytes, load_checkpoint, save_checkpoint
from laconic.models.params import params_of
from laconic.models.ties import untied
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task
from laconic.training.trainer import TrainState, packed, start_training, train, unpacked

_MARK = "train state 0"


@final
@dataclass(frozen=True)
class Job:
    """What is trained, how, and where it goes."""

    output: Path
    data: Data
    schedule: Schedule
    run: LongRun

    @property
    def checkpoint(self) -> Path:
        """The file of the state that a run goes on from."""
        return self.output.with_name(self.output.name + ".checkpoint")

    def labels(self, task: Task) -> dict[str, str]:
        """Return what must be the same when it is resumed."""
        labels = {**values(self.schedule), "--batch": self.data.batch, "--seed": self.run.seed,
                  "--threads": torch.get_num_threads(), "--task": self.data.task or "",
                  **{f"--{key}": task.metadata.get(key, "") for key in ("net", "data")}}  # fmt: skip
        return {option: str(value) for option, value in labels.items()}


def train_network(job: Job, say: Output) -> None:
    """Train, write and print."""
    output, checkpoint, run = job.output, job.checkpoint, job.run
    require_output(output, ".safetensors", force=run.force or (run.resume and checkpoint.exists()))
    torch.set_num_threads(run.threads or torch.get_num_threads())
    task = task_for(say, job.data, {}, batch=job.data.batch, seed=run.seed)
    how = Optimization(job.schedule.epochs, job.schedule.lr, cosine, job.schedule.weight_decay)
    labels = job.labels(task)
    saved = going_on(say, checkpoint, resume=run.resume, force=run.force)
    state = _load(checkpoint, labels) if saved else start_training(params_of(task.module))
    if saved and state.epoch < how.epochs:
        require_absent(output, force=run.force)
    with resumable(output, checkpoint):
        with say.progress("training", 1.0) as tick:
            state = _train(task, state, how, run.seed, checkpoint, labels, tick)
        ties = untied(state.weights, task.module).ties  # as safetensors' own save_model
        notes = {**ties, **task.metadata, "seed": str(run.seed)}
        if not is_written(output, lambda: checkpoint_bytes(state.weights, notes), resume=saved, force=run.force):
            save_checkpoint(output, state.weights, notes, force=run.force)
        _report(say, task, output, state, run.seed)
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)


def _report(say: Output, task: Task, output: Path, state: TrainState, seed: int) -> None:
    """Evaluate and print."""
    metrics = evaluations(task, state.weights, say)
    lines = (
        f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()) for split, measures in metrics.items()
    )
    record = {"output": str(output), "bytes": output.stat().st_size, "epochs": state.epoch, "seed": seed, **metrics}
    say.report(record, f"wrote {output}", *lines)


def _train(
    task: Task, state: TrainState, how: Optimization, seed: int, checkpoint: Path, job: Mapping[str, str], tick: Tick
) -> TrainState:
    """Run the epochs that are left, saving the state after each."""
    per_epoch = batches_per_epoch(task)
    first, share = state.epoch, 1 / max(1, per_epoch * how.epochs)
    watched = counted(task, lambda taken: tick(first / how.epochs + taken * share))
    for reached in train(watched, state, how, seed):
        state = reached
        tick(state.epoch / how.epochs, f"epoch {state.epoch}/{how.epochs}, loss {state.loss:.4f}")
        _save(checkpoint, state, job)
    return state


def _save(path: Path, state: TrainState, job: Mapping[str, str]) -> None:
    """Write the state, replacing the last."""
    tensors, marks = packed(state)
    labels = {**{f"job {key}": value for key, value in job.items()}, "laconic": _MARK}
    save_checkpoint(path, tensors, {**labels, **marks}, force=True)


def _load(path: Path, job: Mapping[str, str]) -> TrainState:
    """Read a state of the same job."""
    tensors, metadata = load_checkpoint(path)
    if metadata.get("laconic") != _MARK:
        raise DataError(f"{path} is no checkpoint of training")
    differs = [f"{key} was {metadata.get(f'job {key}')}, is {value}" for key, value in job.items()
               if metadata.get(f"job {key}") != value]  # fmt: skip
    if differs:
        raise DataError(f"{path} belongs to another run: {'; '.join(differs)}. Repeat its options, or remove the file")
    return unpacked(tensors, metadata)
