"""Compression by training as a run: with progress, and a checkpoint after every LC step to go on from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from laconic.api import Result, compress
from laconic.cli.console import Interrupted, Output, Tick
from laconic.cli.tasks import batches_per_epoch, counted
from laconic.errors import OutputExists
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.learning import Training
from laconic.lc.schedule import Progress
from laconic.lc.state import LCState
from laconic.lc.steps import start
from laconic.plans.plan import Plan
from laconic.theory.metric import Metrics
from laconic.training.loop import trainable
from laconic.training.task import Task


def going_on(say: Output, checkpoint: Path, *, resume: bool, force: bool) -> bool:
    """Say whether there is a checkpoint to go on from.

    Raises:
        OutputExists: when there is one that would be overwritten: hours of work must not hang on one option.
    """
    if checkpoint.exists() and not (resume or force):
        raise OutputExists(f"{checkpoint} is of an interrupted run: --resume goes on from there, --force starts anew")
    if resume and not checkpoint.exists():
        say.note(f"there is no {checkpoint} to resume from: starting at the beginning")
    return resume and checkpoint.exists()


@contextmanager
def resumable(checkpoint: Path) -> Iterator[None]:
    """Turn Ctrl-C into a sentence that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        saved = f"Go on with the same command and --resume (from {checkpoint})"
        raise Interrupted(saved if checkpoint.exists() else "Nothing had been saved yet") from None


@final
@dataclass(frozen=True)
class Run:
    """One run of compression by training that can be interrupted and gone on with.

    Args:
        say: where progress goes.
        checkpoint: replaced after every LC step.
        job: what must be the same when it is resumed.
        resume: go on from the checkpoint, which exists.
    """

    say: Output
    checkpoint: Path
    job: Mapping[str, str]
    resume: bool

    def compress(
        self, params: Mapping[str, torch.Tensor], plan: Plan, task: Task, how: Training,
        metadata: Mapping[str, str], seed: int, metrics: Metrics | None = None,
    ) -> Result:  # fmt: skip
        """Return the result with the history of the whole run."""
        state, history, moving = None, list[Progress](), trainable(task.module, params)
        if self.resume:
            with plan.advising():
                state, history = load_state(self.checkpoint, start(params, plan, metrics, moving), self.job)
            self.say.note(f"resuming after step {state.progress.step}")
        past = history[:-1]
        per_epoch = batches_per_epoch(task)
        epochs = how.steps * how.l_step.epochs * (how.method != "retrain") + how.finetune.epochs
        done = state.progress.step * how.l_step.epochs if state else 0
        with self.say.progress("direct compression", max(1, epochs)) as tick:
            watched = counted(task, lambda taken: tick(done + taken / max(1, per_epoch)))
            new: list[Progress] = []

            def watch(reached: LCState) -> None:
                if reached.fixed and not new:
                    self.say.note(
                        f"training does not move {', '.join(reached.fixed)}: compressed once, from the weights"
                    )
                new.append(reached.progress)
                save_state(self.checkpoint, reached, self.job, [*past, *new])
                describe(reached.progress, how, tick)

            result = compress(
                params,
                plan,
                watched,
                "train",
                training=how,
                metrics=metrics or {},
                metadata=metadata,
                seed=seed,
                resume=state,
                watch=watch,
            )
        return replace(result, history=(*past, *new))


def describe(progress: Progress, how: Training, tick: Tick) -> None:
    """Say on the progress bar where the path is."""
    moved = "" if progress.changed is None else f", {progress.changed:.2%} moved"
    text = f"step {progress.step}/{how.steps}, μ {progress.mu:.2g}, loss {progress.loss:.4f}, gap {progress.gap:.3f}"
    tick(progress.step * how.l_step.epochs, text + moved)
