"""What `laconic train` does: a reference network from a data set."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
from laconic.cli.jobs.among import labels_of as labels_of_peers
from laconic.cli.jobs.among import meeting_of, place_of, with_peers
from laconic.cli.jobs.layers import attending, hint_stage
from laconic.cli.jobs.running import going_on, is_written, resumable
from laconic.cli.jobs.tasks import BATCH, batches_per_epoch, counted, evaluations, fitting, task_for, weights_of
from laconic.cli.jobs.teaching import taught
from laconic.cli.jobs.train_states import Kept, load, save
from laconic.cli.jobs.workers import connected, exchange_of, heard, traffic
from laconic.cli.jobs.workers import labels_of as labels_of_workers
from laconic.cli.layers import Layers
from laconic.cli.options import Data, LongRun, require_output
from laconic.cli.schedule import Machines, Schedule
from laconic.cli.teaching import Teaching
from laconic.deploy.edits import METADATA
from laconic.errors import DataError
from laconic.format.files import require_absent, require_apart, sha256
from laconic.machines.wires import Wires
from laconic.machines.workers import Workers
from laconic.models.checkpoints import Checkpoint, checkpoint_bytes, save_checkpoint
from laconic.models.params import Params, apply_to, buffers_of, params_of
from laconic.models.ties import untied
from laconic.teachers.hints import without_regressor
from laconic.teachers.peers import Meeting, Place
from laconic.training import few_bits, shrinkage
from laconic.training.binary_activations import binary_activations
from laconic.training.latent import Latent
from laconic.training.loop import trainable
from laconic.training.optimization import Optimization, cosine, plain
from laconic.training.shrinkage import ranks
from laconic.training.task import Task
from laconic.training.trainer import TrainState, start_training, train

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
    machines: Machines
    run: LongRun
    teaching: Teaching = field(default_factory=Teaching)
    layers: Layers = field(default_factory=Layers)
    among: Among = field(default_factory=Among)
    begin: Path | None = None

    @property
    def latent(self) -> Latent | None:
        """What is trained in place of the weights.

        Raises:
            DataError: for options that do not go together.
            PlanError: for a price that is none.
        """
        way, price, weights = self.schedule.regularize, self.schedule.price, self.schedule.weights
        if weights and (way or price is not None):
            raise DataError(f"--weights {weights} leaves no singular values to price: leave out --regularize")
        if weights and not self.schedule.epochs:
            raise DataError(f"--weights {weights} come of training: --epochs 1 or more")
        if weights:
            return few_bits.WAYS[weights]
        if way is None and price is None:
            return None
        if way is None or price is None:
            raise DataError(
                f"--regularize {way} needs --price, what a unit of a singular value costs: begin with 0.001"
                if way
                else f"--price goes with --regularize {' or '.join(shrinkage.WAYS)}"
            )
        return shrinkage.WAYS[way](price)

    def run_as(self, task: Task) -> Task:
        """Return the task with the activations of the options.

        Raises:
            DataError: for options that do not go together.
            PlanError: when there is no activation that could be binary.
        """
        if self.schedule.activations is None:
            return task
        if looking := [f"--{name}" for name in ("hint", "attention") if getattr(self.layers, name)]:
            raise DataError(
                f"{looking[0]} is of what layers write for the activations of a network, and --activations binary "
                "leaves these out: leave out one of the two"
            )
        return binary_activations(task)

    @property
    def checkpoint(self) -> Path:
        """The file of the state that a run goes on from."""
        return self.output.with_name(self.output.name + ".checkpoint")

    def labels(self, task: Task, wires: Wires | None) -> dict[str, str]:
        """Return what must be the same when it is resumed."""
        same = {
            **values(self.schedule), **labels_of_workers(self.machines, wires), "--batch": self.data.batch or BATCH,
            "--seed": self.run.seed, "--threads": torch.get_num_threads(), "--task": self.data.task or "",
            "--from": sha256(self.begin) if self.begin else "",
            **{f"--{key}": task.metadata.get(key, "") for key in ("net", "data")},
        }  # fmt: skip
        return {option: str(value) for option, value in same.items()}


@final
@dataclass(frozen=True, eq=False)
class Stage:
    """A stretch of training.

    Args:
        task: what it trains on.
        how: how long, and how fast.
        latent: what is trained in place of the weights, if anything.
    """

    task: Task
    how: Optimization
    latent: Latent | None = None

    def begun(self, weights: Params | None) -> TrainState:
        """Return its state before the first epoch, with the weights that the last stage has left."""
        own = params_of(self.task.module)
        return start_training(own if weights is None else {**own, **without_regressor(weights)})


def train_network(job: Job, say: Output) -> None:
    """Train, write and print."""
    place = place_of(job.among)
    if place is not None:  # launches with the same weights would have nothing to learn from each other
        job = replace(job, run=replace(job.run, seed=job.run.seed + place.number))
    with connected(job.machines) as wires:
        if wires and (place or job.layers.hint):
            option, why = ("--codistill", "is of launches") if place else ("--hint", "trains a regressor, too, and is")
            raise DataError(f"{option} {why} of one worker each: leave out torchrun and --simulate-workers")
        _train_network(job, heard(say, wires), wires, place)


def _train_network(job: Job, say: Output, wires: Wires | None, place: Place | None) -> None:
    """Train, write and print, as one of several workers if there are wires, and among peers if there is a place."""
    output, checkpoint, run = job.output, job.checkpoint, job.run
    require_output(output, ".safetensors", force=run.force or (run.resume and checkpoint.exists()))
    require_apart(output, job.begin)
    torch.set_num_threads(run.threads or torch.get_num_threads())
    task = _task(say, job)
    task, plain = job.run_as(task), task
    stages, labels = _stages(say, job, plain, wires, place)
    saved = going_on(say, checkpoint, resume=run.resume, force=run.force)
    if place is not None and not (saved or run.resume or run.force):
        place.require_free()
    kept = load(checkpoint, labels) if saved else Kept(stages[0].begun(None))
    last = stages[-1]
    if saved and (kept.stage, kept.state.epoch) < (len(stages) - 1, last.how.epochs):
        require_absent(output, force=run.force)
    workers = _workers(job, task, wires, kept) if wires else None
    if workers:
        last = replace(last, how=_shared(last.how, workers, kept.state, labels))
    meeting = _met(say, job, place, task, kept if saved else None, len(stages)) if place else None
    if meeting:
        last = replace(last, task=with_peers(job.among, last.task, meeting))
    number = meeting.begun(over=run.resume or run.force) if meeting else nullcontext()
    with resumable(output, checkpoint), number:
        with say.progress("training", 1.0) as tick:
            state = _train([*stages[:-1], last], kept, job, labels, tick, workers)
        weights = job.latent.judged(state.weights) if job.latent else state.weights
        if workers and not workers.leads:
            return
        if meeting:
            meeting.write(weights, finished=True)
        ties = untied(weights, task.module).ties  # as safetensors' own save_model
        notes = {**ties, **task.metadata, "seed": str(run.seed)}
        if not is_written(output, lambda: checkpoint_bytes(weights, notes), resume=saved, force=run.force):
            save_checkpoint(output, weights, notes, force=run.force)
        _report(say, task, job, state.epoch, weights, workers, meeting)
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)


def _task(say: Output, job: Job) -> Task:
    """Return what is trained, with the weights of a file to begin with, if there is one, and as small as that.

    Raises:
        DataError: for weights that are not the network's.
    """
    begun = weights_of(say, job.begin) if job.begin else Checkpoint({}, {})
    task = task_for(say, job.data, begun.metadata, batch=job.data.batch or BATCH, seed=job.run.seed)
    if job.begin:
        apply_to(task.module, fitting(begun.params, task))
        kept = {key: text for key, text in begun.metadata.items() if key == METADATA}
        task = replace(task, metadata={**task.metadata, **kept})
    return task


def _stages(
    say: Output, job: Job, task: Task, wires: Wires | None, place: Place | None
) -> tuple[list[Stage], dict[str, str]]:
    """Return the stages of training, teachers and all, and what must be the same when a run goes on."""
    if job.schedule.regularize and any(isinstance(part, _BatchNorm) for part in task.module.modules()):
        say.note(_NORMALIZED)
    learning, teachers = taught(say, job.teaching, task, job.data, None)
    learning, attention = attending(say, job.layers, learning, job.data)
    learning = job.run_as(learning)
    hint, hints = hint_stage(say, job.layers, task, job.data, job.run.seed)
    peers = labels_of_peers(job.among, place) if place else {}
    how = Optimization(job.schedule.epochs, job.schedule.lr, cosine, job.schedule.weight_decay)
    first = [] if hint is None else [Stage(hint, Optimization(job.layers.hint_epochs, job.layers.hint_lr, cosine))]
    labels = job.labels(task, wires) | teachers | attention | hints | peers
    return [*first, Stage(learning, how, job.latent)], labels


def _met(say: Output, job: Job, place: Place, task: Task, kept: Kept | None, stages: int) -> Meeting:
    """Return how a launch meets its peers, and say how far they are where it goes on from what was ``kept``."""
    begun = kept.state.epoch if kept and kept.stage == stages - 1 else 0
    meeting = meeting_of(say, job.among, place, task, job.data.task or "", begun)
    if kept:
        say.note(f"resumed: peers are read as they are now: {'; '.join(meeting.told())}")
    return meeting


def _workers(job: Job, task: Task, wires: Wires, kept: Kept) -> Workers:
    """Return the workers of this process, as they were when the checkpoint was written."""
    shapes = {name: tuple(leaf.shape) for name, leaf in task.module.named_parameters() if leaf.requires_grad}
    if job.latent:
        option = "--weights" if job.schedule.weights else "--regularize"
        raise DataError(f"{option} trains other numbers than the network's weights: it goes with one worker")
    exchange = exchange_of(job.machines, wires, shapes, job.run.seed, batches_per_epoch(task))
    return Workers(exchange, kept.steps, kept.memories)


def _shared(how: Optimization, workers: Workers, state: TrainState, same: Mapping[str, str]) -> Optimization:
    """Return how the optimizer is run beside these workers, who all begin with the same.

    Raises:
        DataError: for weight decay beside momentum that is not the optimizer's.
        WorkersError: for workers that differ.
    """
    workers.require_same(state.weights, f"{sorted(same.items())} {state.epoch}")
    if not workers.exchange.scheme.memory.has_momentum:
        return how
    if how.weight_decay:
        raise DataError(
            "--gradients dgc keeps the momentum with the workers, where weight decay has none: leave out "
            "--weight-decay, or take topk"
        )
    return replace(how, optimizer=plain)


def _report(
    say: Output, task: Task, job: Job, epochs: int, weights: Params, workers: Workers | None, meeting: Meeting | None
) -> None:  # fmt: skip
    """Evaluate and print."""
    metrics, output, schedule = evaluations(task, weights, say), job.output, job.schedule
    lines = [
        f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()) for split, measures in metrics.items()
    ]
    record = {"output": str(output), "bytes": output.stat().st_size, "epochs": epochs, "seed": job.run.seed, **metrics}
    moved = {name: weights[name] for name in trainable(task.module, weights)}
    if schedule.regularize:
        found = ranks(moved)
        record |= {"regularize": schedule.regularize, "price": schedule.price, "ranks": found}
        told = ", ".join(f"{name} {rank} of {full}" for name, (rank, full) in found.items())
        lines.append(f"singular values above a hundredth of the largest: {told}")
    if schedule.weights:
        held = few_bits.values_of(moved)
        record |= {"weights": schedule.weights, "values": held}
        lines.append(_of_few_bits(held))
    if schedule.activations:
        record["activations"] = schedule.activations
    if workers:
        figures, text = traffic(workers, job.machines, moved)
        record |= figures
        lines.append(text)
    if meeting:
        peers = meeting.told()
        record["peers"] = peers
        lines += peers
    say.report(record, f"wrote {output}", *lines)


def _of_few_bits(values: Mapping[str, Sequence[float]]) -> str:
    """Say which values the weights have, and what holds them."""
    if not values:
        return "real weights are written, of which two values were drawn in training: compress --codebook 2 takes two"
    told = "; ".join(f"{name} {', '.join(f'{value:.4g}' for value in own)}" for name, own in values.items())
    return f"values: {told}; compress --codebook {max(map(len, values.values()))} holds them exactly"


def _train(
    stages: Sequence[Stage], kept: Kept, job: Job, labels: Mapping[str, str], tick: Tick, workers: Workers | None
) -> TrainState:  # fmt: skip
    """Run the epochs that are left, saving the state after each."""
    whole, state = max(1, sum(stage.how.epochs for stage in stages)), kept.state
    for at in range(kept.stage, len(stages)):
        stage = stages[at]
        state = state if at == kept.stage else stage.begun(state.weights)
        before = sum(one.how.epochs for one in stages[:at])
        first, share = before + state.epoch, 1 / max(1, batches_per_epoch(stage.task))
        watched = counted(stage.task, partial(_tick, tick, first / whole, share / whole))
        what = "epoch" if at == len(stages) - 1 else "hints, epoch"
        for reached in train(watched, state, stage.how, job.run.seed, stage.latent, workers):
            state, now = reached, Kept(reached, at)
            if workers:
                state = replace(reached, weights=workers.settled(reached.weights, buffers_of(stage.task.module)))
                now = Kept(state, at, workers.step, workers.memories())
            tick((before + state.epoch) / whole, f"{what} {state.epoch}/{stage.how.epochs}, loss {state.loss:.4f}")
            if workers is None or workers.leads:
                save(job.checkpoint, now, labels)
    return state


def _tick(tick: Tick, first: float, share: float, taken: float) -> None:
    """Say that so many batches have been taken, each of which is a ``share`` of the whole, since ``first``."""
    tick(first + taken * share)
