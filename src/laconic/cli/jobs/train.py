"""What `laconic train` does: a reference network from a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import final

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from laconic import interrupts
from laconic.cli.among import Among
from laconic.cli.console import Output, Tick
from laconic.cli.groups import values
from laconic.cli.jobs.among import labels_of, meeting_of, place_of, with_peers
from laconic.cli.jobs.layers import attending, hint_stage
from laconic.cli.jobs.running import going_on, is_written, resumable
from laconic.cli.jobs.tasks import batches_per_epoch, counted, evaluations, task_for
from laconic.cli.jobs.teaching import taught
from laconic.cli.layers import Layers
from laconic.cli.options import Data, LongRun, require_output
from laconic.cli.schedule import Schedule
from laconic.cli.teaching import Teaching
from laconic.errors import DataError
from laconic.format.files import require_absent
from laconic.models.checkpoints import checkpoint_bytes, load_checkpoint, save_checkpoint
from laconic.models.params import Params, params_of
from laconic.models.ties import untied
from laconic.teachers.hints import without_regressor
from laconic.training.loop import trainable
from laconic.training.optimization import Optimization, cosine
from laconic.training.shrinkage import WAYS, Shrinkage, ranks
from laconic.training.task import Task
from laconic.training.trainer import TrainState, packed, start_training, train, unpacked

_MARK = "train state 0"


_NORMALIZED = (
    "a price makes the weights before a batch normalization smaller, which its statistics undo: do not expect a low "
    "rank there; compress --rank --effort train has the rank for a constraint"
)


@final
@dataclass(frozen=True)
class Job:
    """What is trained, how, and where it goes."""

    output: Path
    data: Data
    schedule: Schedule
    run: LongRun
    teaching: Teaching = field(default_factory=Teaching)
    layers: Layers = field(default_factory=Layers)
    among: Among = field(default_factory=Among)

    @property
    def shrinkage(self) -> Shrinkage | None:
        """What the options price.

        Raises:
            DataError: for one of the two options without the other.
            PlanError: for a price that is none.
        """
        way, price = self.schedule.regularize, self.schedule.price
        if way is None and price is None:
            return None
        if way is None or price is None:
            raise DataError(
                f"--regularize {way} needs --price, what a unit of a singular value costs: begin with 0.001"
                if way
                else f"--price goes with --regularize {' or '.join(WAYS)}"
            )
        return WAYS[way](price)

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


@final
@dataclass(frozen=True, eq=False)
class Stage:
    """A stretch of training.

    Args:
        task: what it trains on.
        how: how long, and how fast.
        shrinkage: what is priced, if anything.
    """

    task: Task
    how: Optimization
    shrinkage: Shrinkage | None = None

    def begun(self, weights: Params | None) -> TrainState:
        """Return its state before the first epoch, with the weights that the last stage has left."""
        own = params_of(self.task.module)
        return start_training(own if weights is None else {**own, **without_regressor(weights)})


def train_network(job: Job, say: Output) -> None:
    """Train, write and print."""
    place = place_of(job.among)
    if place is not None:  # launches with the same weights would have nothing to learn from each other
        job = replace(job, run=replace(job.run, seed=job.run.seed + place.number))
    output, checkpoint, run, shrinkage = job.output, job.checkpoint, job.run, job.shrinkage
    require_output(output, ".safetensors", force=run.force or (run.resume and checkpoint.exists()))
    torch.set_num_threads(run.threads or torch.get_num_threads())
    task = task_for(say, job.data, {}, batch=job.data.batch, seed=run.seed)
    if shrinkage and any(isinstance(part, _BatchNorm) for part in task.module.modules()):
        say.note(_NORMALIZED)
    how = Optimization(job.schedule.epochs, job.schedule.lr, cosine, job.schedule.weight_decay)
    learning, labels = _learning(say, job, task)
    hint, more = hint_stage(say, job.layers, task, job.data, run.seed)
    labels |= {**more, **(labels_of(job.among, place) if place else {})}
    first = [] if hint is None else [Stage(hint, Optimization(job.layers.hint_epochs, job.layers.hint_lr, cosine))]
    saved = going_on(say, checkpoint, resume=run.resume, force=run.force)
    if place is not None and not (saved or run.resume or run.force):
        place.require_free()
    number, state = _load(checkpoint, labels) if saved else (0, [*first, Stage(learning, how)][0].begun(None))
    if saved and (number, state.epoch) < (len(first), how.epochs):
        require_absent(output, force=run.force)
    meeting = None
    if place is not None:
        begun = state.epoch if number == len(first) else 0
        meeting = meeting_of(say, job.among, place, task, job.data.task or "", begun)
        learning = with_peers(job.among, learning, meeting)
        say.note(*([f"resumed: peers are read as they are now: {'; '.join(meeting.told())}"] if saved else []))
    with resumable(output, checkpoint):
        with say.progress("training", 1.0) as tick:
            state = _train([*first, Stage(learning, how, shrinkage)], number, state, job, labels, tick)
        weights = shrinkage.whole(state.weights) if shrinkage else state.weights
        if meeting:
            meeting.write(weights, finished=True)
        ties = untied(weights, task.module).ties  # as safetensors' own save_model
        notes = {**ties, **task.metadata, "seed": str(run.seed)}
        if not is_written(output, lambda: checkpoint_bytes(weights, notes), resume=saved, force=run.force):
            save_checkpoint(output, weights, notes, force=run.force)
        _report(say, task, job, state.epoch, weights, meeting.told() if meeting else [])
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)


def _learning(say: Output, job: Job, task: Task) -> tuple[Task, dict[str, str]]:
    """Return the task with its teachers, and what must be the same when it is resumed."""
    learning, teachers = taught(say, job.teaching, task, job.data, None)
    learning, attention = attending(say, job.layers, learning, job.data)
    return learning, job.labels(task) | teachers | attention


def _report(say: Output, task: Task, job: Job, epochs: int, weights: Params, peers: list[str]) -> None:
    """Evaluate and print; ``peers``: a sentence on each."""
    metrics, output, schedule = evaluations(task, weights, say), job.output, job.schedule
    lines = [
        f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()) for split, measures in metrics.items()
    ]
    record = {"output": str(output), "bytes": output.stat().st_size, "epochs": epochs, "seed": job.run.seed, **metrics}
    if schedule.regularize:
        found = ranks({name: weights[name] for name in trainable(task.module, weights)})
        record |= {"regularize": schedule.regularize, "price": schedule.price, "ranks": found}
        told = ", ".join(f"{name} {rank} of {full}" for name, (rank, full) in found.items())
        lines.append(f"singular values above a hundredth of the largest: {told}")
    if peers:
        record["peers"] = peers
    say.report(record, f"wrote {output}", *lines, *peers)


def _train(
    stages: Sequence[Stage], number: int, state: TrainState, job: Job, labels: Mapping[str, str], tick: Tick
) -> TrainState:  # fmt: skip
    """Run the epochs that are left from stage ``number`` on, saving the state after each."""
    whole = max(1, sum(stage.how.epochs for stage in stages))
    for at in range(number, len(stages)):
        stage = stages[at]
        state = state if at == number else stage.begun(state.weights)
        before = sum(one.how.epochs for one in stages[:at])
        first, share = before + state.epoch, 1 / max(1, batches_per_epoch(stage.task))
        watched = counted(stage.task, partial(_tick, tick, first / whole, share / whole))
        what = "epoch" if at == len(stages) - 1 else "hints, epoch"
        for reached in train(watched, state, stage.how, job.run.seed, stage.shrinkage):
            state = reached
            progress = f"{what} {state.epoch}/{stage.how.epochs}, loss {state.loss:.4f}"
            tick((before + state.epoch) / whole, progress)
            _save(job.checkpoint, at, state, labels)
    return state


def _tick(tick: Tick, first: float, share: float, taken: float) -> None:
    """Say that so many batches have been taken, each of which is a ``share`` of the whole, since ``first``."""
    tick(first + taken * share)


def _save(path: Path, number: int, state: TrainState, job: Mapping[str, str]) -> None:
    """Write the state of a stage, replacing the last."""
    tensors, marks = packed(state)
    marks |= {"stage": str(number)}
    labels = {**{f"job {key}": value for key, value in job.items()}, "laconic": _MARK}
    save_checkpoint(path, tensors, {**labels, **marks}, force=True)


def _load(path: Path, job: Mapping[str, str]) -> tuple[int, TrainState]:
    """Read a state of the same job, and which stage it is of."""
    tensors, metadata = load_checkpoint(path)
    if metadata.get("laconic") != _MARK:
        raise DataError(f"{path} is no checkpoint of training")
    saved = {key.removeprefix("job "): value for key, value in metadata.items() if key.startswith("job ")}
    differs = [f"{key} was {saved.get(key)}, is {job.get(key)}" for key in {**job, **saved}
               if saved.get(key) != job.get(key)]  # fmt: skip
    if differs:
        raise DataError(f"{path} belongs to another run: {'; '.join(differs)}. Repeat its options, or remove the file")
    return int(metadata.get("stage", 0)), unpacked(tensors, metadata)
