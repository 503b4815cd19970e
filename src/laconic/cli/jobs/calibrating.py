"""Compression by what layers read: what does not go with it, notes on what is calibrated, and its progress."""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import ANEW, TRIES, Ready, passes_of
from laconic.calibrate.fidelity import token_count
from laconic.calibrate.halves import FILES, stability
from laconic.calibrate.journal import Journal
from laconic.calibrate.network import Tick
from laconic.calibrate.rounding import SWEEPS
from laconic.cli import console, options
from laconic.cli.console import Output
from laconic.cli.groups import values
from laconic.cli.rows import Rows
from laconic.errors import PlanError, listed
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.budgeted import buffers_told
from laconic.models.absorption import Absorbed
from laconic.models.folding import Folding
from laconic.models.params import buffers_of
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.result import Result
from laconic.training.task import Task


def require_calibratable(
    rows: Rows, matters: options.Matters, snr: float | None, recalibrate: int
) -> None:  # fmt: skip
    """Check that nothing is asked that calibration would not heed.

    Raises:
        PlanError: names the options.
    """
    refused: dict[str, Mapping[str, object]] = {
        "it chooses for all weights itself; --lossless names what stays as it is": values(rows),
        "it finds out by itself how much errors matter": values(matters),
        "it takes care of running statistics itself": {"--recalibrate": recalibrate or None},
        "it does not look at the error of weights; name --bits, --size, --ratio or --max-kl": {"--snr": snr},
    }
    for why, given in refused.items():
        if named := [option for option, value in given.items() if value is not None and value is not False]:
            raise PlanError(f"{', '.join(named)} does not go with --effort calibrate: {why}")


def calibrated(
    say: Output, network: Untied, task: Task, budget: Budget, lossless: Collection[str], quality: options.Quality,
    calibrating: options.Calibrating, notes: Mapping[str, str], seed: int, folder: Path, job: Mapping[str, str],
) -> tuple[Result, dict[str, float]]:  # fmt: skip
    """Return the result within a budget, and the seconds that each stage took; it says what is calibrated before.

    Args:
        say: where notes and progress go.
        network: each tensor once.
        task: whose training split has the samples.
        budget: no SNR.
        lossless: patterns of tensors that stay as they are.
        quality: how hard to try.
        calibrating: what is looked at.
        notes: metadata of the file.
        seed: of the order of the training split.
        folder: for what has been decided; it may have some.
        job: what must be the same when it is resumed.
    """
    began = time.monotonic()
    notes = {**notes, **buffers_told(network, buffers_of(task.module))}
    kept = Plan({}).keeping(list(lossless)).kept(network)
    samples = SAMPLES if calibrating.samples is None else calibrating.samples
    calibration = Calibration.of(task, samples=samples, seed=seed)
    journal = journal_of(say, folder, job, network, calibration)
    ready = readied(say, network, calibration, kept, fold=not calibrating.no_fold).resuming(journal)
    prepared = time.monotonic()
    passes = passes_of(quality.value) if budget.is_of_outputs else len(TRIES[quality.value])
    stages, sweeps = dict[str, float](), SWEEPS if quality.value in ANEW else 0
    with say.progress("pass 1", passes + sweeps) as bar:
        tick = timing(passing(bar, passes, sweeps), stages)
        fitted, told = ready.fitted(
            budget, quality.value, notes, reference_bytes=int(notes[REFERENCE_BYTES]),
            meter=not calibrating.no_meter, tune=not calibrating.no_tune, tick=tick,
        )  # fmt: skip
    if calibrating.stability:
        of = fitted.file_bytes, quality.value, told.distance
        with say.progress("stability", FILES) as bar:
            parts = timing(lambda stage, done, total: bar(done), stages)
            found = stability(
                network, calibration, *of, lossless=kept, buffers=buffers_of(task.module),
                fold=not calibrating.no_fold, tune=not calibrating.no_tune, tick=parts,
            )  # fmt: skip
            told = replace(told, stability=found)
    ended, later = time.monotonic(), {stage: began for stage, began in stages.items() if stage != "weights"}
    seconds = {"statistics": prepared - began, **_lasted({"weights": prepared} | later, ended)}
    result = Result(fitted.codes, {**notes, **told.record}, fitted=fitted, signals=fitted.signals, calibration=told)
    return result, seconds


def journal_of(
    say: Output, folder: Path, job: Mapping[str, str], network: Untied, calibration: Calibration
) -> Journal:  # fmt: skip
    """Return the journal of a job, and say where it goes on from; arguments and errors are those of `Journal.of`."""
    journal = Journal.of(folder, job, network.params, calibration.batches)
    if journal.decided:
        say.note(f"resuming after weight {journal.decided}, counted over all passes")
    return journal


def readied(
    say: Output, network: Untied, calibration: Calibration, lossless: Collection[str] = (), *, fold: bool = True,
    spectra: bool = False,
) -> Ready:  # fmt: skip
    """Return the network ready to be calibrated, with a progress bar meanwhile, and say what is calibrated.

    Arguments are those of `Ready.of`.
    """
    with say.progress("statistics", 1.0) as bar:
        ready = Ready.of(
            network, calibration, lossless=lossless, buffers=buffers_of(calibration.module), fold=fold, spectra=spectra,
            tick=lambda stage, done, total: bar(done / max(1, total)),
        )  # fmt: skip
    say.note(*_said(ready))
    return ready


def passing(bar: console.Tick, passes: int, sweeps: int = 0) -> Tick:
    """Return what moves a bar over so many passes, perhaps some more, then sweeps, and names what runs."""
    number, reached = 0, 0.0

    def tick(stage: str, done: int, total: int) -> None:
        nonlocal number, reached
        number += stage == "weights" and done == 0
        what = f"pass {number}" if stage == "weights" else stage
        unit, share = "batches" if stage == "tuning" else "weights", done / max(1, total)
        passed = min(number - (stage == "weights") + share, passes)
        reached = max(reached, passes + sweeps * share if stage == "rounding" else passed)  # some are tuned twice
        bar(reached, f"{what}: {done}/{total} {unit}")

    return tick


def timing(tick: Tick, began: dict[str, float]) -> Tick:
    """Return ``tick``, which puts when each stage has begun into ``began``."""

    def timed(stage: str, done: int, total: int) -> None:
        began.setdefault(stage, time.monotonic())
        tick(stage, done, total)

    return timed


def _lasted(began: Mapping[str, float], ended: float) -> dict[str, float]:
    """Return the seconds of each stage, from when it began to when the next one did."""
    return {
        stage: after - before for stage, (before, after) in zip(began, pairwise([*began.values(), ended]), strict=True)
    }


def _said(ready: Ready) -> Iterator[str]:
    """Yield what there is to say before the passes: samples, layers, and norms that are folded."""
    seen, unseen = ready.samples
    tokens = token_count(ready.network.calibration.seen)
    if tokens is None:
        yield f"calibrating {len(ready.layers)} layers on {seen:,} samples; {unseen:,} further ones judge"
    else:
        many = len(ready.layers) + len(ready.alone)
        yield (
            f"{seen:,} samples, {tokens:,} tokens, {len(ready.layers)} of {many} layers calibrated; {unseen:,} further "
            "samples judge"
        )
    yield from ready.notes
    for why, names in _by_reason(ready.alone):
        yield f"rounded by what they are, not by what they read: {listed(names)} ({why})"
    yield from folds(ready.folding)


def folds(folding: Folding) -> Iterator[str]:
    """Yield what there is to say of the normalizations that are folded, and of the others."""
    if folding.pairs:
        yield f"batch normalizations folded into the layer before them: {len(folding.pairs)}"
    yield from _left(folding.left)


def absorptions(norms: Absorbed) -> Iterator[str]:
    """Yield what there is to say of the normalizations whose statistics are constants, and of the others."""
    if norms.norms:
        yield f"batch normalizations whose statistics are in their own scale and shift: {len(norms.norms)}"
    yield from _left(norms.left)


def _left(why: Mapping[str, str]) -> Iterator[str]:
    """Yield the normalizations that stay as they are, by the reason."""
    for reason, names in _by_reason(why):
        yield f"batch normalization left as it is: {listed(names)} ({reason})"


def _by_reason(why: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each reason once, with the names that have it."""
    for reason in dict.fromkeys(why.values()):
        yield reason, [name for name in why if why[name] == reason]
