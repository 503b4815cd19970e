"""What `laconic compare` does: several files side by side, as a table and as a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from laconic import __version__
from laconic.cli import options
from laconic.cli.console import Output, in_bytes, table
from laconic.cli.jobs.report import of_file
from laconic.format.files import replace_file, require_absent, require_apart
from laconic.insight.report import Report
from laconic.page.several import several_page


@final
@dataclass(frozen=True)
class Job:
    """Files, what they are looked at with, and where the page goes."""

    files: tuple[Path, ...]
    output: Path | None
    against: Path | None
    subject: options.Subject
    run: options.Run
    samples: int | None
    limit: int | None
    force: bool
    key: str | None


def show(job: Job, say: Output) -> None:
    """Gather, print, and write the page where it is asked for."""
    if job.output is not None:
        require_absent(job.output, force=job.force)
        require_apart(job.output, *job.files, job.against)
    names = [path.name for path in job.files]
    labels = names if len(set(names)) == len(names) else [str(path) for path in job.files]
    reports = [
        replace(of_file(say, path, job.limit), file=label) for path, label in zip(job.files, labels, strict=True)
    ]
    if job.against is not None:
        from laconic.cli.jobs.against import Beside  # needs torch, which files alone do without

        beside = Beside(job.against, job.subject, job.run, job.samples, job.limit, job.key).opened(say)
        reports = [beside.told(say, one, path, mend=False)[0] for one, path in zip(reports, job.files, strict=True)]
    lines = []
    if job.output is not None:
        content = several_page(reports, __version__).encode()
        with replace_file(job.output, force=job.force) as file:
            file.write(content)
        lines = [f"wrote {job.output}: {in_bytes(len(content))}"]
    record = {"page": job.output and str(job.output), "files": [one.record() for one in reports]}
    if job.output is None:
        say.result(record, _table(reports))
    else:
        say.report(record, _table(reports), *lines)


def _table(reports: Sequence[Report]) -> Any:
    """Return the files as a table."""
    compared, measured = (any(getattr(one, of) is not None for one in reports) for of in ("snr", "damage"))
    heads = ["bytes", "bits a weight", "ratio", "zeros", *(["SNR, dB"] if compared else []),
             *(["distance"] if measured else [])]  # fmt: skip
    rows = []
    for one in reports:
        account = one.account
        cells = [one.file, f"{account.file_bytes:,}", _number(account.bits_per_weight, ".3f"),
                 _number(account.ratio, ".2f"), f"{one.zeros:.1%}"]  # fmt: skip
        cells += [_number(one.snr, ".2f")] if compared else []
        cells += [_number(one.damage and one.damage.distance, ".4g")] if measured else []
        rows.append(tuple(cells))
    return table("side by side", {"file": "left", **dict.fromkeys(heads, "right")}, rows)


def _number(value: float | None, form: str) -> str:
    """Return a number, or a dash where there is none."""
    return "-" if value is None else format(value, form)
