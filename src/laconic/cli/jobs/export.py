"""What `laconic export` does: reads a file, writes a graph, and shows how near and how fast it is."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from rich.table import Table
from torch import nn

from laconic.cli import options
from laconic.cli.console import Output, in_bytes, table
from laconic.cli.jobs.tasks import fitting, opened, task_for
from laconic.deploy import export as deployed
from laconic.deploy.edits import METADATA, edits_of
from laconic.deploy.file import require_suffix
from laconic.deploy.narrowing import narrow
from laconic.format import container
from laconic.format.files import require_absent
from laconic.models.params import apply_to, decompress, first_names
from laconic.models.state_dicts import named_as
from laconic.training.binary_activations import require_real
from laconic.training.task import Task


@final
@dataclass(frozen=True)
class Job:
    """A file, what it is exported to, and how."""

    weights: Path
    output: Path
    subject: options.Subject
    precision: str
    requantize: bool
    external: bool
    original: Path | None
    samples: int
    run: options.Run
    force: bool
    limit: int | None


def export(job: Job, say: Output) -> None:
    """Write the graph and print what is known of it."""
    require_suffix(job.output)
    require_absent(job.output, force=job.force)
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    with container.open(job.weights, job.limit) as file:
        file.require_room("codes")
        codes, metadata = file.codes(), dict(file.metadata)
    require_real(metadata, "export")
    whole = {key: text for key, text in metadata.items() if key != METADATA}
    task = task_for(say, job.subject, whole, seed=job.run.seed, augmented=False)
    original = _original(say, job, task)
    narrow(task.module, edits_of(metadata))
    fitting(decompress(codes), task)
    codes = dict(named_as(codes, first_names(task.module)))  # type: ignore[arg-type]  # renames, whatever is named
    with say.progress("exporting", 1.0) as tick:
        made = deployed.export(
            codes, task.module, task, job.output, precision=job.precision, requantize=job.requantize,
            original=original, samples=job.samples, external=job.external, seed=job.run.seed,
            force=job.force, watch=lambda text, share: tick(share, text),
        )  # fmt: skip
    say.note(*made.notes)
    say.report(made.record(), *_tables(made), _last(made))


def _original(say: Output, job: Job, task: Task) -> nn.Module | None:
    """Return the network with the weights of the original, where it is to be timed: as large as these are."""
    if job.original is None:
        return None
    checkpoint = opened(say, job.original)
    module = narrow(deepcopy(task.module), edits_of(checkpoint.metadata))
    apply_to(module, named_as(checkpoint.params, first_names(module)))
    return module


def _tables(made: deployed.Exported) -> list[Table]:
    """Return what is known as tables: layers in integers, outputs, and times."""
    tables = []
    if made.layers:
        rows = [(one.name, one.kind, one.form, one.origin) for one in made.layers]
        tables.append(table("layers", {"weight": "left", "kind": "left", "form": "left", "integers": "left"}, rows))
    near = made.fidelity
    figures = [("samples", f"{near.samples:,}"), ("largest difference", f"{near.largest:.2g} of the largest output")]
    if near.flips is None:
        figures.append(("squared difference", f"{near.divergence:.3g} of the variance"))
    else:
        figures += [("KL", f"{near.divergence:.3g} nats a row"), ("argmax flips", f"{near.flips:,} of {near.rows:,}")]
    tables.append(table("beside the decompressed network", {"": "left", "outputs": "right"}, figures))
    times = [
        (str(rows), name, f"{one.milliseconds:.3g}", f"{one.ratio:.3g}x")
        for rows, own in made.times.items()
        for name, one in own.items()
    ]
    columns = {"samples": "right", "runs": "left", "ms": "right", "faster than torch": "right"}
    return [*tables, table(f"time of a call, {made.threads} thread{'s' * (made.threads > 1)}", columns, times)]


def _last(made: deployed.Exported) -> str:
    """Say what has been written."""
    beside = f" with {made.written.constants.name} beside it" if made.written.constants else ""
    return f"wrote {made.written.path}{beside}: {made.precision}, {in_bytes(made.written.bytes)}"
