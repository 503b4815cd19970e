"""What `laconic frontier` does: files of several sizes, their table and figure, and which are kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.frontier import Point, curve, hull, point
from laconic.cli import options
from laconic.cli.console import Output, interruptible, plain, table
from laconic.cli.jobs.calibrating import journal_of, passing, readied
from laconic.cli.jobs.metadata import carried
from laconic.cli.jobs.running import cleared, going_on, is_written
from laconic.cli.jobs.tasks import doubts, evaluation, fitting, known_again, opened, task_for
from laconic.errors import DataError, OutputExists, PlanError
from laconic.experiments.curves import frontier_figure
from laconic.format import container
from laconic.format.files import replace_file
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.budgeted import buffers_told
from laconic.models.checkpoints import checkpoint_size
from laconic.models.directories import sha256_of
from laconic.models.params import Params, buffers_of, decompress
from laconic.models.ties import untied
from laconic.training.task import Task

UNITS = {
    "classification": "KL(original ‖ compressed), nats a row of logits",
    "regression": "squared change of the outputs over the variance",
}
"""Of a distance, by the kind of the outputs."""


@final
@dataclass(frozen=True)
class Job:
    """A network, the bits of its files, and the folder that they go to."""

    weights: Path
    key: str | None
    output: Path
    subject: options.Subject
    bits: tuple[float, ...]
    quality: options.Quality
    samples: int | None
    run: options.LongRun

    @property
    def checkpoint(self) -> Path:
        """The folder of the journal that a run goes on from."""
        return self.output.with_name(self.output.name + ".checkpoint")

    def labels(self, task: Task) -> dict[str, str]:
        """Return what must be the same when it is resumed."""
        chosen = {"--bits": self.bits, "--quality": self.quality, "--samples": self.samples, "--seed": self.run.seed,
                  "--threads": torch.get_num_threads(), "the checkpoint's SHA-256": sha256_of(self.weights),
                  **known_again(task, self.subject.task)}  # fmt: skip
        return {option: str(value) for option, value in chosen.items()}

    def file(self, bits: float) -> Path:
        """The file of so many bits."""
        return self.output / f"{bits:g}.lac"


def draw(job: Job, say: Output) -> None:
    """Make the files, print the table, write the record and the figure, and remove what is above the hull."""
    _require_folder(job)
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    checkpoint = opened(say, job.weights, job.key)
    task = task_for(say, job.subject, checkpoint.metadata, seed=job.run.seed, augmented=False)
    params = fitting(checkpoint.params, task)
    say.note(*doubts(params, task, checkpoint.metadata))
    whole, (own, left_out) = untied(params, task.module), carried(checkpoint.metadata, job.weights)
    say.note(*left_out)
    notes = {**task.metadata, **own, REFERENCE_BYTES: str(checkpoint_size(params))}
    notes |= buffers_told(whole, buffers_of(task.module))
    if not going_on(say, job.checkpoint, resume=job.run.resume, force=job.run.force):
        cleared(job.checkpoint)
    with interruptible(lambda: _way(job)):
        calibration = Calibration.of(task, samples=job.samples or SAMPLES, seed=job.run.seed)
        journal = journal_of(say, job.checkpoint, job.labels(task), whole, calibration)
        ready = readied(say, whole, calibration, spectra=True).resuming(journal)
        original, points = _validated(say, task, params), list[Point]()
        measures = [
            _validated(say, task, decompress(one.fitted.codes)) if original else {}
            for one in _points(say, job, ready, notes, points)
        ]
        kept = hull([(one.fitted.file_bytes, one.distance) for one in points])
        kind = ready.network.calibration.kind_with(ready.network.params)
        record = _record(job, ready, points, measures, kept) | {"unit": UNITS[kind], "original": original}
        earlier = _earlier(job)
        _write(job.output / "frontier.json", (json.dumps(plain(record), indent=2) + "\n").encode(), job)
        drawn = [(one.bits, one.distance, at in kept) for at, one in enumerate(points)]
        figure = frontier_figure(drawn, record["curve"], UNITS[kind])
        _write(job.output / "frontier.png", figure, job)
        for at, one in enumerate(points):
            if at not in kept:
                job.file(one.asked).unlink()
        for path in earlier - {job.file(bits) for bits in job.bits}:
            path.unlink(missing_ok=True)
    lines = [f"distance: {UNITS[kind]}, on {ready.outputs.samples:,} samples that are held out"]
    lines += [f"loss and measures: on validation; of the original {_said(original)}"] if original else []
    lines += [f"{len(kept)} of {len(points)} files are on the hull and kept; figure: {job.output / 'frontier.png'}"]
    say.report(record, _table(record["files"]), *lines)
    cleared(job.checkpoint)


def _points(say: Output, job: Job, ready: Ready, notes: Mapping[str, str], points: list[Point]) -> list[Point]:
    """Return the points, each of whose files is written as soon as it is there.

    Raises:
        PlanError: when no bits are met.
    """
    refused = list[PlanError]()
    each = len(TRIES[job.quality.value])
    with say.progress("pass 1", each * len(job.bits)) as bar:
        for number, bits in enumerate(job.bits):
            begun = number * each
            tick = passing(lambda done, text=None, begun=begun: bar(begun + done, text), each)
            try:
                found = point(ready, bits, job.quality.value, notes, tick)
            except PlanError as error:
                refused.append(error)
                say.note(f"no file of {bits:g} bits: {error}")
                continue
            _write(job.file(bits), container.dumps(found.fitted.codes, notes), job)
            points.append(found)
    if not points:
        raise refused[0]
    return points


def _validated(say: Output, task: Task, params: Params) -> dict[str, float]:
    """Return loss and measures on the validation split; none where there is no such split, which is said."""
    try:
        return evaluation(task, params, "validation", say)
    except DataError as error:
        say.note(f"no figures for validation: {error}")
        return {}


def _record(
    job: Job, ready: Ready, points: Sequence[Point], measures: Sequence[Mapping[str, float]], kept: set[int]
) -> dict[str, Any]:
    """Return everything as plain values."""
    files = [
        {"asked": one.asked, "file": str(job.file(one.asked)) if at in kept else None, "bits_per_weight": one.bits,
         "bytes": one.fitted.file_bytes, "distance": one.distance, "bound": one.bound, "on_hull": at in kept,
         "validation": dict(measures[at])}
        for at, one in enumerate(points)
    ]  # fmt: skip
    seen, unseen = ready.samples
    return {"checkpoint": str(job.weights), "weights": ready.weights, "samples": seen, "held_out": unseen,
            "quality": job.quality.value, "files": files, "curve": curve(ready, points)}  # fmt: skip


def _table(files: Sequence[Mapping[str, Any]]) -> Any:
    """Return the files as a table."""
    names = list(dict.fromkeys(name for each in files for name in each["validation"]))
    headings = ["asked", "bits", "bytes", "distance", *names, "R(D)", "hull"]
    rows = [
        (f"{each['asked']:g}", f"{each['bits_per_weight']:.3f}", f"{each['bytes']:,}", f"{each['distance']:.4g}",
         *(f"{each['validation'][name]:.4g}" for name in names),
         "-" if each["bound"] is None else f"{each['bound']:.3f}", "kept" if each["on_hull"] else "above")
        for each in files
    ]  # fmt: skip
    return table("files: bits a weight, and those of R(D) at the same distance", dict.fromkeys(headings, "right"), rows)


def _said(measures: Mapping[str, float]) -> str:
    """Return measures as text."""
    return ", ".join(f"{name} {value:.4g}" for name, value in measures.items())


def _write(path: Path, content: bytes, job: Job) -> None:
    """Write a file, all or nothing, if it is not there as it would be."""
    if not is_written(path, lambda: content, resume=job.run.resume, force=job.run.force):
        with replace_file(path, force=job.run.force) as file:
            file.write(content)


def _earlier(job: Job) -> set[Path]:
    """Return the files that an earlier run has kept in the folder, as its own record names them."""
    try:
        names = [each["file"] for each in json.loads((job.output / "frontier.json").read_bytes())["files"]]
    except (OSError, ValueError, LookupError, TypeError):
        return set()
    paths = {job.output / Path(name).name for name in names if isinstance(name, str)}
    return {path for path in paths if path.suffix == ".lac"}


def _way(job: Job) -> str:
    """Say which files are complete, and how to go on."""
    there = [str(job.file(bits)) for bits in job.bits if job.file(bits).exists()]
    written = f"There are {', '.join(there)}" if there else "Nothing has been written"
    again = f". Go on with the same command and --resume (from {job.checkpoint})" if job.checkpoint.exists() else ""
    return written + again


def _require_folder(job: Job) -> None:
    """Raise `OutputExists` where the folder is a file, or holds what would be replaced."""
    if job.output.exists() and not job.output.is_dir():
        raise OutputExists(f"{job.output} is a file; name a folder")
    mine = [job.output / name for name in ("frontier.json", "frontier.png")] + [job.file(bits) for bits in job.bits]
    if there := [str(path) for path in mine if path.exists()]:
        if not job.run.force and not (job.run.resume and job.checkpoint.exists()):
            raise OutputExists(f"{', '.join(there)} would be replaced; name another folder, or --force")
