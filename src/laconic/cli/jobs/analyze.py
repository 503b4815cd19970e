"""What `laconic analyze` shows: the weights of a network, ranked, as a table, a figure and a plan."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from laconic.calibrate.analysis import Weight, analysed
from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.jobs.calibrating import readied
from laconic.cli.jobs.frontier import UNITS
from laconic.cli.jobs.tasks import doubts, fitting, opened, task_for
from laconic.csteps.compression import Compression
from laconic.csteps.uniform_grid import UniformGrid
from laconic.errors import PlanError
from laconic.experiments.curves import damage_figure
from laconic.format.codes import GridCode
from laconic.format.files import replace_file, require_absent, require_apart
from laconic.models.params import Params
from laconic.models.ties import untied
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.plans.toml import to_toml

_PRICE = 0.15  # of a bit, in units of the step squared: the natural one of a plain grid
_ROUNDS, _NEAR, _FAR = 16, 0.01, 2.0


@final
@dataclass(frozen=True)
class Job:
    """A network, the bits that its weights take, and what is written."""

    weights: Path
    key: str | None
    subject: options.Subject
    bits: float
    plan: Path | None
    output: Path | None
    samples: int | None
    run: options.Run
    force: bool


def show(job: Job, say: Output) -> None:
    """Print the table, and write the figure and the plan."""
    if not job.bits > 0:
        raise PlanError(f"--bits is above 0, not {job.bits:g}")
    for path in filter(None, (job.plan, job.output)):
        require_absent(path, force=job.force)
        require_apart(path, job.weights)
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    checkpoint = opened(say, job.weights, job.key)
    task = task_for(say, job.subject, checkpoint.metadata, seed=job.run.seed, augmented=False)
    params = fitting(checkpoint.params, task)
    say.note(*doubts(params, task, checkpoint.metadata))
    calibration = Calibration.of(task, samples=job.samples or SAMPLES, seed=job.run.seed)
    ready = readied(say, untied(params, task.module), calibration, fold=False, spectra=True)
    with say.progress("weights", 1.0) as bar:
        level, weights = analysed(ready, job.bits, lambda stage, done, total: bar(done / max(1, total)))
    unit = UNITS[calibration.kind_with(ready.network.params)]
    record = {"checkpoint": str(job.weights), "bits": job.bits, "level": level, "unit": unit,
              "held_out": ready.samples[1], "weights": [vars(one) for one in weights]}  # fmt: skip
    lines = [f"damage: {unit}, on {ready.outputs.samples:,} samples that are held out"]
    written = {job.plan: to_toml(planned(weights, params, job.bits)).encode()} if job.plan else {}
    written |= {job.output: damage_figure(weights, unit)} if job.output else {}
    for path, content in written.items():
        with replace_file(path, force=job.force) as file:
            file.write(content)
    say.report(record, _table(weights, job.bits), *lines, *(f"wrote {path}" for path in written))


def planned(weights: Sequence[Weight], params: Params, bits: float) -> Plan:
    """Return the plan that has each weight on a grid at one water level, and all else lossless.

    Args:
        weights: with the steps of a level.
        params: the network.
        bits: that integers take, of each weight, or little less: steps become wider or finer together until they do.
    """
    steps = {one.name: one.step for one in weights if one.step is not None}
    numbers, octaves, low, high = sum(params[name].numel() for name in steps), 0.0, -math.inf, math.inf
    for _ in range(_ROUNDS if numbers else 0):
        grids = {name: _grid(2.0**octaves * step) for name, step in steps.items()}
        codes = {name: grid.project({name: params[name]})[name] for name, grid in grids.items()}
        excess = sum(code.index_bits for code in codes.values() if isinstance(code, GridCode)) / numbers - bits
        low, high = (octaves, high) if excess > 0 else (low, octaves)
        if -_NEAR * bits < excess <= 0:
            break
        ahead = octaves + min(max(excess + _NEAR * bits / 2, -_FAR), _FAR)  # at high rates each octave is a bit
        octaves = (low + high) / 2 if math.isfinite(high - low) and not low < ahead < high else ahead
    wider = 2.0 ** (high if math.isfinite(high) else octaves)
    rows: dict[str, Compression] = {fnmatch_escape(name): _grid(wider * step) for name, step in steps.items()}
    return Plan(rows)


def _grid(step: float) -> UniformGrid:
    """Return a grid with dead zone and tables by variance, its step in six digits."""
    return UniformGrid(step=float(f"{step:.6g}"), rate=_PRICE, scales=True)


def _table(weights: Sequence[Weight], bits: float) -> Any:
    """Return the weights as a table."""
    columns = {"weight": "left", "numbers": "right", "bytes": "right", "worth": "right", "predicted": "right",
               "measured": "right", "share": "right"}  # fmt: skip
    rows = [
        (one.name, f"{one.count:,}", f"{one.bytes:,.0f}", f"{one.worth:.3g}", f"{one.predicted:.3g}",
         f"{one.measured:.3g}", f"{one.share:.1%}")
        for one in weights
    ]  # fmt: skip
    return table(f"weights at {bits:g} bits, each by itself, the worst first", columns, rows)
