"""Compression by training as a run: with progress, and a checkpoint after every LC step to go on from."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from laconic import __version__
from laconic.api import trained
from laconic.calibrate.journal import remove
from laconic.cli.console import Output, interruptible
from laconic.cli.jobs.tasks import batches_per_epoch, counted
from laconic.errors import OutputExists
from laconic.format import container
from laconic.format.compact import compact
from laconic.format.files import require_absent
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.learning import Training
from laconic.lc.log import append_to_log, write_log
from laconic.lc.points import stands_out
from laconic.lc.schedule import Progress
from laconic.lc.state import LCState
from laconic.lc.steps import start
from laconic.machines.exchange import Exchange
from laconic.machines.workers import Workers
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.result import Result
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


def cleared(checkpoint: Path) -> None:
    """Remove what a run would go on from: a file, or the folder of a journal."""
    if checkpoint.is_dir():
        remove(checkpoint)
    else:
        checkpoint.unlink(missing_ok=True)


@contextmanager
def resumable(output: Path, checkpoint: Path | None = None) -> Iterator[None]:
    """Turn an interruption into a sentence that says what there is, and how to go on."""
    before = _identity(output)

    def way() -> str:
        again = f"the same command and --resume (from {checkpoint})"
        if _identity(output) not in (None, before):
            return f"{output} is complete" + (f"; {again} shows the figures" if checkpoint else "")
        if checkpoint is None:
            return ""
        return f"Go on with {again}" if checkpoint.exists() else "Nothing had been saved yet"

    with interruptible(way):
        yield


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its place."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def is_written(output: Path, content: Callable[[], bytes], *, resume: bool, force: bool) -> bool:
    """Tell whether ``output`` is what the run that is resumed would write: it was interrupted after that."""
    return resume and not force and output.is_file() and output.read_bytes() == content()


@final
@dataclass(frozen=True)
class Run:
    """One run of compression by training that can be interrupted and gone on with.

    Args:
        say: where progress goes.
        checkpoint: replaced after every LC step.
        job: what must be the same when it is resumed.
        log: where each step is written, too, if anywhere.
        points: the folder for the files of steps that stand out, if they are kept.
        exchange: with other ranks, of which rank 0 alone writes.
        resume: go on from the checkpoint, which exists.
        account: says what there is to say of each state before fine-tuning, if anything.
        output: what will be written; once all else is done it may be there already.
        force: it may be there in any case.
    """

    say: Output
    checkpoint: Path
    job: Mapping[str, str]
    resume: bool
    output: Path
    force: bool
    log: Path | None = None
    points: Path | None = None
    account: Callable[[LCState], str] | None = None
    exchange: Exchange | None = None

    @property
    def leads(self) -> bool:
        """Whether it is this process that writes."""
        return self.exchange is None or 0 in self.exchange.wires.own

    def compress(
        self, network: Untied, plan: Plan, task: Task, budget: Budget | None, how: Training,
        metadata: Mapping[str, str], seed: int, metrics: Metrics | None = None,
    ) -> Result:  # fmt: skip
        """Return the result with the history of the whole run: arguments are those of `laconic.api.trained`."""
        params = network.params
        state, history, moving = None, list[Progress](), trainable(task.module, params)
        if self.resume:
            with plan.advising():
                first = start(params, plan, metrics, moving, how.first_mu(task), self.exchange)
                state, history = load_state(self.checkpoint, first, self.job)
            if not how.is_done(state):
                require_absent(self.output, force=self.force)
            tuned = f" and epoch {state.tuning.epoch} of fine-tuning" if state.tuning else ""
            self.say.note(f"resuming after step {state.progress.step}{tuned}")
        past = history[:-1]
        if self.exchange is not None:
            Workers(self.exchange).require_same(params, repr((sorted(self.job.items()), len(past), __version__)))
        if self.log is not None and self.leads:
            write_log(self.log, past)
        per_epoch = batches_per_epoch(task)
        done, whole = _epochs(state, how) if state else 0, _whole(state, how)
        with self.say.progress("direct compression", 1.0) as tick:
            watched = counted(task, lambda taken: tick((done + taken / max(1, per_epoch)) / whole))
            new: list[Progress] = []

            def watch(reached: LCState) -> None:
                nonlocal whole
                if reached.fixed and not new:
                    self.say.note(
                        f"training does not move {', '.join(reached.fixed)}: compressed once, from the weights"
                    )
                if reached.tuning is None or not new:
                    new.append(self._kept(reached, network, metadata, [*past, *new]))
                    if self.log is not None and self.leads:
                        append_to_log(self.log, new[-1])
                if self.leads:
                    save_state(self.checkpoint, reached, self.job, [*past, *new])
                if self.account is not None and reached.tuning is None and reached.progress.step:
                    self.say.note(self.account(reached))
                whole = _whole(reached, how)
                tick(_epochs(reached, how) / whole, described(reached, how))

            of = metadata, seed, state, watch, self.exchange
            result = trained(network, plan, watched, budget, metrics, how, *of)
        return replace(result, history=(*past, *new))

    def _kept(
        self, state: LCState, network: Untied, metadata: Mapping[str, str], before: list[Progress]
    ) -> Progress:  # fmt: skip
        """Return the progress of a state, with the name of the file that it is kept in, where it stands out."""
        progress = state.progress
        if self.points is None or state.tuning is not None or not stands_out(progress, before):
            return progress
        name = f"step-{progress.step:03d}-{progress.file_bytes}B.lac"
        if not self.leads:
            return replace(progress, kept=name)
        self.points.mkdir(parents=True, exist_ok=True)
        of_calibration = state.best is not None and state.best.progress == progress and state.sizes is not None
        codes = state.best.codes if state.best and of_calibration else compact(state.all_codes)
        container.write(self.points / name, network.named(codes), metadata, force=True)
        return replace(progress, kept=name)


def described(state: LCState, how: Training) -> str:
    """Say where the path is."""
    progress, search = state.progress, state.sizes
    if state.tuning is not None:
        return f"fine-tuning, epoch {state.tuning.epoch}/{how.finetune.epochs}, loss {state.tuning.loss:.4f}"
    step = state.since_began.step
    text = f"{search.size:,} bytes, path {search.ended + 1}: " if search else ""
    text += f"step {step}/{how.steps}, μ {progress.mu:.2g}, loss {progress.loss:.4f}, gap {progress.gap:.3f}"
    text += "" if progress.changed is None else f", {progress.changed:.2%} moved"
    judged, calibrated = (
        ", ".join(f"{name} {value:.4g}" for name, value in (measures or {}).items())
        for measures in (progress.validation, progress.calibrated)
    )
    text += f"; on validation {judged}" if judged else ""
    return text + (f"; calibration's file {calibrated}" if calibrated else "")


def _epochs(state: LCState, how: Training) -> int:
    """Return the epochs that lie behind a state."""
    begun = state.sizes.ended if state.sizes else int(state.choices is not None)  # a path begins with a C step alone
    return (state.progress.step - begun) * how.l_step.epochs + (state.tuning.epoch if state.tuning else 0)


def _whole(state: LCState | None, how: Training) -> int:
    """Return the epochs of the whole run, as far as a state can tell: a path may end before its time."""
    path, search = how.steps * (how.method != "retrain"), state.sizes if state else None
    if state is None or search is None:
        return max(1, path * how.l_step.epochs + how.finetune.epochs)
    here = path - state.since_began.step
    steps = 0 if state.tuning else here + (search.to_come - 1) * path
    tuned = state.tuning.epoch if state.tuning else 0
    return max(1, _epochs(state, how) + steps * how.l_step.epochs + how.finetune.epochs - tuned)
