"""What `laconic bound` shows: R(D) of a network, and files beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from laconic import __version__
from laconic.cli.console import Output, table
from laconic.cli.jobs.folds import folded_alike, folded_in, require_subject
from laconic.cli.jobs.tasks import fitting, opened, task_for
from laconic.cli.options import Run, Subject
from laconic.errors import OutputExists
from laconic.experiments.report import (
    DECIBELS,
    bound_figure,
    bound_page,
    curve_headings,
    curve_rows,
    point_headings,
    point_rows,
)
from laconic.format import container
from laconic.insight import bound
from laconic.insight.bound import Bound, Point
from laconic.models.params import Arrays, Params, to_numpy
from laconic.models.ties import untied
from laconic.page.prose import prose_page
from laconic.theory.importance import input_moments
from laconic.training.task import Task

OF_WEIGHTS = (
    "Squared error of matrices and kernels. Gaussian: each tensor with its own mean square; a Gaussian needs more bits "
    "than any other source, so that files may lie below. Scaled Gaussian: with scales for rows, columns and positions, "
    "which are paid for. Laplacian: each tensor with its own mean square."
)
"""What the curves are without a task."""

OF_OUTPUTS = (
    "Error E ‖(W − Ŵ) x‖² of what the layers write, summed over the layers, x being what each reads on training data. "
    "Gaussian: each weight with the mean square of its tensor; a Gaussian needs more bits than any other source, so "
    "that files may lie below. The moments of x are known to coder and decoder and not paid for."
)
"""What the curve is with one."""


@final
@dataclass(frozen=True)
class Job:
    """A network, the files that are measured, and where the page goes."""

    weights: Path
    key: str | None
    files: tuple[Path, ...]
    output: Path | None
    subject: Subject
    samples: int
    run: Run
    limit: int | None
    force: bool


def show(job: Job, say: Output) -> None:
    """Print curves and points, and write the page and the figure."""
    output = job.output
    _require_folder(output, force=job.force)
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    checkpoint = opened(say, job.weights, job.key)
    params = dict(checkpoint.params)
    norms = folded_in(params, job.files, job.limit)
    if job.subject.named:
        task = task_for(say, job.subject, checkpoint.metadata, seed=job.run.seed)
        params = dict(folded_alike(task, fitting(params, task), norms))
        bound, about = _of_outputs(say, params, task, job.samples), OF_OUTPUTS
    else:
        require_subject(norms)
        bound, about = _of_weights(say, params), OF_WEIGHTS
    points = _points(say, bound, job.files, job.limit)
    shown: list[Any] = [about, _table("bits a weight at an error", curve_headings(bound), curve_rows(bound))]
    if points:
        shown.append(_table("bits a weight above the curves", point_headings(bound), point_rows(points), left=True))
    record = _record(job.weights, bound, points)
    if output is None:
        say.result(record, *shown)
        return
    output.mkdir(parents=True, exist_ok=True)
    bound_figure(bound, points, output / "figure.png")
    text = bound_page(bound, points, about, "figure.png")
    (output / "report.md").write_text(text, encoding="utf-8")
    figures = {"figure.png": (output / "figure.png").read_bytes()}
    (output / "report.html").write_text(prose_page(text, figures, f"laconic {__version__}"), encoding="utf-8")
    say.report(record, *shown, f"report: {output / 'report.md'}, as a page: {output / 'report.html'}")


def _require_folder(output: Path | None, *, force: bool) -> None:
    """Raise `OutputExists` where the output is a file, or a folder with a report that would be replaced."""
    if output is None:
        return
    if output.exists() and not output.is_dir():
        raise OutputExists(f"{output} is a file; name a folder")
    if (output / "report.md").exists() and not force:
        raise OutputExists(f"{output} holds a report; name another folder, or --force to replace it")


def _of_weights(say: Output, params: Params) -> Bound:
    """Return the curves for the error of the weights."""
    with say.progress("scales of weights", 1.0) as tick:
        return bound.of_weights(dict(Arrays(params)), lambda done, total: tick(done / total))


def _of_outputs(say: Output, params: Params, task: Task, samples: int) -> Bound:
    """Return the curve for the error of what the layers write."""
    params = untied(params, task.module).params
    with say.progress("second moments of inputs", 1.0) as tick:
        moments = input_moments(task, params, samples=samples, watch=lambda done, total: tick(done / max(1, total)))
    return bound.of_outputs(dict(Arrays(params)), {name: to_numpy(a.double()) for name, a in moments.items()})


def _points(say: Output, bound: Bound, files: tuple[Path, ...], limit: int | None) -> list[Point]:
    """Return the points of the files, one after the other."""
    points, names = [], [path.name for path in files]
    labels = names if len(set(names)) == len(names) else [str(path) for path in files]
    with say.progress("reading files", max(1, len(files))) as tick:
        for path, label in zip(files, labels, strict=True):
            with container.open(path, limit) as file:
                points.append(bound.point(file, label))
            tick(len(points))
    return points


def _table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]], *, left: bool = False) -> Any:
    """Return a table of numbers, its first column perhaps of names."""
    return table(title, {h: "left" if left and not i else "right" for i, h in enumerate(headings)}, rows)


def _record(weights: Path, bound: Bound, points: list[Point]) -> Mapping[str, Any]:
    """Return everything as plain values."""
    curves = [
        {"snr": decibels, "distortion": distortion, "bits_per_weight": bound.rates(distortion)}
        for decibels in DECIBELS
        for distortion in [bound.energy / 10 ** (decibels / 10)]
    ]
    files = [
        {"file": point.file, "bits_per_weight": point.bits, "others": point.others, "distortion": point.distortion,
         "snr": point.snr, "bound": point.rates, "gap": point.gaps}
        for point in points
    ]  # fmt: skip
    error = "outputs" if bound.moments else "weights"
    return {
        "checkpoint": str(weights), "error_of": error, "weights": bound.elements, "tensors": list(bound.tensors),
        "energy": bound.energy, "curves": curves, "files": files,
    }  # fmt: skip
