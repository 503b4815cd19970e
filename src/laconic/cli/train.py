"""`laconic train`: a reference network from a data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer

from laconic import interrupts
from laconic.cli import options
from laconic.cli.console import Output, Tick
from laconic.cli.running import going_on, is_written, resumable
from laconic.cli.tasks import batches_per_epoch, counted, evaluations, task_of
from laconic.errors import DataError
from laconic.format.files import require_absent
from laconic.models.checkpoints import checkpoint_bytes, load_checkpoint, save_checkpoint
from laconic.models.params import params_of
from laconic.models.ties import untied
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task
from laconic.training.trainer import TrainState, packed, start_training, train, unpacked

_MARK = "train state 0"


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).")],
    net: options.Net = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    task: options.TaskFactory = None,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training data.")] = 40,
    lr: Annotated[float, typer.Option(help="Learning rate at the start; it falls to 0 as half a cosine.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(min=0, help="α of (α/2)‖w‖² on weights, not on biases.")] = 0.0,
    batch: options.Batch = 128,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a reference network: SGD with Nesterov momentum, and a checkpoint after every epoch.

    Examples:
      laconic train --net lenet300 --data digits -o digits.safetensors --lr 0.05

      laconic train --net lenet5 --data mnist --data-dir DIR -o mnist.safetensors

      laconic train --task mine:make -o mine.safetensors
    """
    say = Output(as_json, quiet)
    checkpoint = output.with_name(output.name + ".checkpoint")
    options.require_output(output, ".safetensors", force=force or (resume and checkpoint.exists()))
    torch.set_num_threads(threads or torch.get_num_threads())
    subject = task_of(net, data, data_dir, task, {}, batch=batch, seed=seed)
    how = Optimization(epochs, lr, cosine, weight_decay)
    job = {"--epochs": str(epochs), "--lr": str(lr), "--weight-decay": str(weight_decay), "--batch": str(batch),
           "--seed": str(seed), "--threads": str(torch.get_num_threads()), "--task": task or "",
           **{f"--{key}": subject.metadata.get(key, "") for key in ("net", "data")}}  # fmt: skip
    saved = going_on(say, checkpoint, resume=resume, force=force)
    state = _load(checkpoint, job) if saved else start_training(params_of(subject.module))
    if saved and state.epoch < epochs:
        require_absent(output, force=force)
    with resumable(output, checkpoint):
        with say.progress("training", 1.0) as tick:
            state = _train(subject, state, how, seed, checkpoint, job, tick)
        ties = untied(state.weights, subject.module).ties  # as safetensors' own save_model
        notes = {**ties, **subject.metadata, "seed": str(seed)}
        if not is_written(output, lambda: checkpoint_bytes(state.weights, notes), resume=saved, force=force):
            save_checkpoint(output, state.weights, notes, force=force)
        _report(say, subject, output, state, seed)
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)


def _report(say: Output, subject: Task, output: Path, state: TrainState, seed: int) -> None:
    """Evaluate and print."""
    metrics = evaluations(subject, state.weights, say)
    lines = (
        f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()) for split, measures in metrics.items()
    )
    record = {"output": str(output), "bytes": output.stat().st_size, "epochs": state.epoch, "seed": seed, **metrics}
    say.result(record, f"wrote {output}", *lines)


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
