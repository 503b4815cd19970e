"""What `laconic train` does: a reference network from a data set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from laconic import interrupts
from laconic.cli.console import Output, Tick
from laconic.cli.groups import values
from laconic.cli.jobs.running import going_on, is_written, resumable
from laconic.cli.jobs.tasks import batches_per_epoch, counted, evaluations, task_for
from laconic.cli.jobs.workers import connected, exchange_of, heard, labels_of, traffic
from laconic.cli.options import Data, LongRun, require_output
from laconic.cli.schedule import Machines, Schedule
from laconic.errors import DataError
from laconic.format.files import require_absent
from laconic.machines.wires import Wires
from laconic.machines.workers import MEMORY, Workers
from laconic.models.checkpoints import checkpoint_bytes, load_checkpoint, save_checkpoint
from laconic.models.params import Params, buffers_of, params_of
from laconic.models.ties import untied
from laconic.training.loop import trainable
from laconic.training.optimization import Optimization, cosine, plain
from laconic.training.shrinkage import WAYS, Shrinkage, ranks
from laconic.training.task import Task
from laconic.training.trainer import TrainState, packed, start_training, train, unpacked

_MARK = "train state 0"


_NORMALIZED = (
    "a price makes the weights before a batch normalization smaller, which its statistics undo: do not expect a low "
    "rank there; compress --rank --effort train has the rank for a constraint"
)


@final
@dataclass(frozen=True, eq=False)
class Kept:
    """What workers know beside the state of training: steps that are done, and what each keeps between them."""

    steps: int = 0
    memories: Params | None = None


@final
@dataclass(frozen=True)
class Job:
    """What is trained, how, and where it goes."""

    output: Path
    data: Data
    schedule: Schedule
    machines: Machines
    run: LongRun

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

    def labels(self, task: Task, wires: Wires | None) -> dict[str, str]:
        """Return what must be the same when it is resumed."""
        same = {
            **values(self.schedule), **labels_of(self.machines, wires), "--batch": self.data.batch,
            "--seed": self.run.seed, "--threads": torch.get_num_threads(), "--task": self.data.task or "",
            **{f"--{key}": task.metadata.get(key, "") for key in ("net", "data")},
        }  # fmt: skip
        return {option: str(value) for option, value in same.items()}


def train_network(job: Job, say: Output) -> None:
    """Train, write and print."""
    with connected(job.machines) as wires:
        _train_network(job, heard(say, wires), wires)


def _train_network(job: Job, say: Output, wires: Wires | None) -> None:
    """Train, write and print, as one of several workers if there are wires."""
    output, checkpoint, run, shrinkage = job.output, job.checkpoint, job.run, job.shrinkage
    require_output(output, ".safetensors", force=run.force or (run.resume and checkpoint.exists()))
    torch.set_num_threads(run.threads or torch.get_num_threads())
    task = task_for(say, job.data, {}, batch=job.data.batch, seed=run.seed)
    if shrinkage and any(isinstance(part, _BatchNorm) for part in task.module.modules()):
        say.note(_NORMALIZED)
    how = Optimization(job.schedule.epochs, job.schedule.lr, cosine, job.schedule.weight_decay)
    same = job.labels(task, wires)
    saved = going_on(say, checkpoint, resume=run.resume, force=run.force)
    state, kept = _load(checkpoint, same) if saved else (start_training(params_of(task.module)), Kept())
    if saved and state.epoch < how.epochs:
        require_absent(output, force=run.force)
    workers = _workers(job, task, wires, kept) if wires else None
    if workers:
        how = _shared(how, workers, state, same)
    with resumable(output, checkpoint):
        with say.progress("training", 1.0) as tick:
            state = _train(task, state, how, shrinkage, job, same, tick, workers)
        weights = shrinkage.whole(state.weights) if shrinkage else state.weights
        if workers and not workers.leads:
            return
        ties = untied(weights, task.module).ties  # as safetensors' own save_model
        notes = {**ties, **task.metadata, "seed": str(run.seed)}
        if not is_written(output, lambda: checkpoint_bytes(weights, notes), resume=saved, force=run.force):
            save_checkpoint(output, weights, notes, force=run.force)
        _report(say, task, job, state.epoch, weights, workers)
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)


def _workers(job: Job, task: Task, wires: Wires, kept: Kept) -> Workers:
    """Return the workers of this process, as they were when the checkpoint was written."""
    shapes = {name: tuple(leaf.shape) for name, leaf in task.module.named_parameters() if leaf.requires_grad}
    if job.shrinkage:
        raise DataError("--regularize trains other numbers than the network's weights: it goes with one worker")
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
    say: Output, task: Task, job: Job, epochs: int, weights: Params, workers: Workers | None
) -> None:  # fmt: skip
    """Evaluate and print."""
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
    if workers:
        moved = trainable(task.module, weights)
        figures, text = traffic(workers, job.machines, {name: weights[name] for name in moved})
        record |= figures
        lines.append(text)
    say.report(record, f"wrote {output}", *lines)


def _train(
    task: Task,
    state: TrainState,
    how: Optimization,
    shrinkage: Shrinkage | None,
    job: Job,
    labels: Mapping[str, str],
    tick: Tick,
    workers: Workers | None,
) -> TrainState:
    """Run the epochs that are left, saving the state after each."""
    per_epoch = batches_per_epoch(task)
    first, share = state.epoch, 1 / max(1, per_epoch * how.epochs)
    watched = counted(task, lambda taken: tick(first / how.epochs + taken * share))
    for reached in train(watched, state, how, job.run.seed, shrinkage, workers):
        state, kept = reached, Kept()
        if workers:
            state = replace(reached, weights=workers.settled(reached.weights, buffers_of(task.module)))
            kept = Kept(workers.step, workers.memories())
        tick(state.epoch / how.epochs, f"epoch {state.epoch}/{how.epochs}, loss {state.loss:.4f}")
        if workers is None or workers.leads:
            _save(job.checkpoint, state, kept, labels)
    return state


def _save(path: Path, state: TrainState, kept: Kept, job: Mapping[str, str]) -> None:
    """Write the state, replacing the last."""
    tensors, marks = packed(state)
    labels = {**{f"job {key}": value for key, value in job.items()}, "laconic": _MARK, "steps": str(kept.steps)}
    save_checkpoint(path, {**tensors, **(kept.memories or {})}, {**labels, **marks}, force=True)


def _load(path: Path, job: Mapping[str, str]) -> tuple[TrainState, Kept]:
    """Read a state of the same job."""
    tensors, metadata = load_checkpoint(path)
    if metadata.get("laconic") != _MARK:
        raise DataError(f"{path} is no checkpoint of training")
    differs = [f"{key} was {metadata.get(f'job {key}')}, is {value}" for key, value in job.items()
               if metadata.get(f"job {key}") != value]  # fmt: skip
    if differs:
        raise DataError(f"{path} belongs to another run: {'; '.join(differs)}. Repeat its options, or remove the file")
    memories = {key: tensor for key, tensor in tensors.items() if key.startswith(MEMORY)}
    others = {key: tensor for key, tensor in tensors.items() if key not in memories}
    return unpacked(others, metadata), Kept(int(metadata["steps"]), memories)
