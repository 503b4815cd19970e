"""What `laconic report` does: gathers all that there is to say of a file, and writes its page."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from laconic import __version__
from laconic.cli import options
from laconic.cli.console import Output, in_bytes, table
from laconic.cli.jobs.events import add_report, events, writers
from laconic.errors import DataError, FormatError, OutputExists
from laconic.format import container
from laconic.format.files import replace_file, require_absent, require_apart
from laconic.insight.anatomy import anatomy, classes
from laconic.insight.gap import gap
from laconic.insight.ledger import ledger
from laconic.insight.overlay import NUMBERS, overlays
from laconic.insight.report import Dot, Plane, Report
from laconic.insight.report import Path as Steps
from laconic.insight.stages import stages
from laconic.page.one_file import report_page
from laconic.page.words import figures

_ERROR = "Empty. `--against REFERENCE`, the checkpoint that was compressed, fills it."
_DATA = "Empty. `--against REFERENCE` with `--net NAME --data NAME`, or `--task module:factory`, fills it."
MISSING = {
    "stages": "Empty: the file does not tell the size of what it was made of. `--against REFERENCE` fills it.",
    "error": _ERROR,
    "weights": _ERROR,
    "damage": _DATA,
    "costs": _DATA,
    "run": "Empty. `--run LOG`, what `laconic compress --effort train --log LOG` has written, fills it.",
}
"""Parts of a page, and what fills them."""


@final
@dataclass(frozen=True)
class Job:
    """A file, what it is looked at with, and where the page goes."""

    source: Path
    output: Path | None
    against: Path | None
    subject: options.Subject
    run: options.Run
    log: Path | None
    frontier: Path | None
    plan: Path | None
    overlays: Path | None
    tensorboard: Path | None
    samples: int | None
    limit: int | None
    force: bool
    key: str | None
    time: bool

    @property
    def page(self) -> Path:
        """Where the page goes."""
        return self.output or self.source.with_name(self.source.name + ".html")

    def overlay(self, number: str) -> Path | None:
        """Where the node data of a number go, if they are asked for."""
        return None if self.overlays is None else self.overlays / f"{number}.json"


def show(job: Job, say: Output) -> None:
    """Gather, write and print."""
    for path in filter(None, (job.page, job.plan, *map(job.overlay, NUMBERS))):
        require_absent(path, force=job.force)
        require_apart(path, job.source, job.against, job.log)
    if job.plan is not None and job.plan.resolve() == job.page.resolve():
        raise OutputExists(f"{job.plan} is where the page goes: name another file for --plan")
    if job.overlays is not None and any(
        one.exists() and not one.is_dir() for one in (job.overlays, *job.overlays.parents)
    ):
        raise OutputExists(f"{job.overlays} is a file, or lies below one; name a folder for --overlays")
    if job.page in map(job.overlay, NUMBERS) or (job.plan is not None and job.plan in map(job.overlay, NUMBERS)):
        raise OutputExists(f"{job.overlays} has node data of the name of another output; name another folder")
    if job.tensorboard is not None:
        writers()
    report = of_file(say, job.source, job.limit)
    if job.log is not None:
        report = replace(report, path=_path(job.log))
    neighbours = None if job.frontier is None else _neighbours(job.frontier)
    plan = ""
    if job.against is not None:
        from laconic.cli.jobs.against import Beside  # needs torch, which a file alone does without

        beside = Beside(job.against, job.subject, job.run, job.samples, job.limit, job.key, job.time, job.plan)
        report, plan = beside.opened(say).told(say, report, job.source)
    if neighbours is not None:
        report = replace(report, planes=(*report.planes, _among(report, neighbours)))
    written = {job.page: report_page(report, __version__).encode()}
    written |= {job.plan: plan.encode()} if job.plan is not None and plan else {}
    if job.overlays is not None:
        job.overlays.mkdir(parents=True, exist_ok=True)
    found = {job.overlay(number): data for number, data in overlays(report).items()}
    written |= {path: json.dumps(data).encode() for path, data in found.items() if path is not None}
    for path, content in written.items():
        with replace_file(path, force=job.force) as file:
            file.write(content)
    if job.tensorboard is not None:
        with events(job.tensorboard) as writer:
            add_report(writer, report)
    lines = [f"wrote {path}: {in_bytes(len(content))}" for path, content in written.items()]
    if job.plan is not None and not plan:
        lines.append(f"{job.plan} is not written: no row was found that mends the file")
    record = {"page": str(job.page), **report.record()}
    say.report(record, *shown(report), *lines)


def of_file(say: Output, source: Path, limit: int | None) -> Report:
    """Return what a file says by itself.

    Raises:
        FormatError: for a file that is damaged, or holds more than the limit allows.
    """
    with container.open(source, limit) as file, say.progress("reading", max(1, 2 * len(file))) as tick:
        account = ledger(file, tick)
        pieces = anatomy(file, account, lambda done: tick(len(file) + done))
        metadata, measured = dict(file.metadata), None
        with suppress(FormatError):  # what has a record that is none has no word on the limit
            measured = gap(file, account)
    reference = account.reference_bytes
    steps = stages(pieces, account, reference) if reference else ()
    missing = {part: how for part, how in MISSING.items() if part != "stages" or not steps}
    return Report(source.name, metadata, account, pieces, measured, steps, missing=missing)


def shown(report: Report) -> list[Any]:
    """Return the tables of a terminal: kinds of codes, stages, layers."""
    columns = {"stored as": "left", "tensors": "right", "bytes": "right", "share": "right", "zeros": "right"}
    total = max(report.account.file_bytes, 1)
    rows = [
        (one.code, f"{one.tensors:,}", f"{one.bytes:,}", f"{one.bytes / total:.1%}",
         f"{one.zeros / max(one.elements, 1):.1%}")
        for one in classes(report.pieces)
    ]  # fmt: skip
    rows.append(("(header)", "-", f"{report.header:,}", f"{report.header / total:.1%}", "-"))
    found: list[Any] = [table(report.file, columns, rows)]
    if report.stages:
        steps = [(one.name, f"{one.bytes:,}", f"{one.change:+,}") for one in report.stages]
        found.append(table("from the checkpoint", {"stage": "left", "bytes": "right", "change": "right"}, steps))
    if report.damage is not None:
        harms = [(one.layer, f"{one.distance:.3g}", f"{one.share:.1%}") for one in report.damage.harms[:5]]
        columns = {"layer, by itself": "left", "distance": "right", "share": "right"}
        found.append(table(f"outputs are {report.damage.distance:.4g} away", columns, harms))
        found += [f"{one.row}    # {one.bytes:,} bytes, {one.distance:.3g}" for one in report.damage.mends]
    if report.costs:
        takes = [(one.what, figures(one.before, 4), figures(one.after, 4)) for one in report.costs]
        found.append(table("before and after", {"takes": "left", "before": "right", "after": "right"}, takes))
    return found


def _path(log: Path) -> Steps:
    """Return the path of a run, and what is to be said of it."""
    from laconic.lc.diagnosis import diagnosis
    from laconic.lc.log import read_log

    history, steps = read_log(log), []
    for one in history:
        values = {"step": one.step, "μ": one.mu, "loss": one.loss, "gap": one.gap, "moved": one.changed,
                  "bytes": one.file_bytes}  # fmt: skip
        values |= {f"validation {name}": value for name, value in (one.validation or {}).items()}
        steps.append({name: _finite(value) for name, value in values.items()})
    return Steps(tuple(steps), tuple(diagnosis(history)))


def _finite(value: float | None) -> float | None:
    """Return a number that JSON can say, or None."""
    return value if value is not None and abs(value) < float("inf") else None


def _neighbours(folder: Path) -> Mapping[str, Any]:
    """Return the record of a frontier.

    Raises:
        DataError: when the folder has none.
    """
    path = folder / "frontier.json"
    try:
        record = json.loads(path.read_bytes())
        _ = [(one["asked"], one["bits_per_weight"], one["distance"]) for one in record["files"]]
        _ = [(bits, distance) for bits, distance in record["curve"]], str(record["unit"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is not what laconic frontier writes: name the folder that it was given") from error
    return dict(record)


def _among(report: Report, record: Mapping[str, Any]) -> Plane:
    """Return a file among those of a frontier."""
    dots = [Dot(f"{one['asked']:g}", one["bits_per_weight"], one["distance"], "other") for one in record["files"]]
    bits = report.account.bits_per_weight
    if report.damage is not None and bits is not None:
        dots.insert(0, Dot(report.file, bits, report.damage.distance, "file"))
    curve = tuple((float(x), float(y)) for x, y in record["curve"])
    return Plane(
        "Among its neighbours", "bits a weight", str(record["unit"]), {"R(D), Gaussian": curve}, tuple(dots), True
    )
