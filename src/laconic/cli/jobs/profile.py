"""What `laconic profile` does: measure, write, and say how well the file predicts what it was made of."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

from laconic.cli.console import Output, table
from laconic.csteps.profile import Profile
from laconic.csteps.profile_file import to_toml
from laconic.deploy.profiling import QUICK, Effort, measure
from laconic.deploy.runtimes import Runtime, Torch
from laconic.errors import DataError
from laconic.format.files import replace_file, require_absent


@final
@dataclass(frozen=True)
class Job:
    """What is measured, and where it goes.

    Args:
        output: the file.
        runtime: by name.
        threads: numbers that are tried; none for 1 and all cores.
        name: of the machine; "" for what the system says.
        quick: whether a second must do.
        force: whether a file is replaced.
    """

    output: Path
    runtime: str
    threads: tuple[int, ...]
    name: str
    quick: bool
    force: bool


def profile(job: Job, say: Output) -> None:
    """Measure, write and print."""
    if job.output.suffix != ".toml":
        raise DataError(f"{job.output}: a profile is a .toml file; give it that suffix")
    require_absent(job.output, force=job.force)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = tuple(dict.fromkeys(job.threads or (1, cores)))
    with say.progress("measuring", 1.0) as tick:
        found = measure(_runtime(job.runtime), threads, QUICK if job.quick else Effort(), job.name, tick)
    with replace_file(job.output, force=job.force) as file:
        file.write(to_toml(found).encode())
    columns = {"kind": "left", "layout": "left", "threads": "right", "layers": "right", "fastest, µs": "right",
               "slowest, µs": "right"}  # fmt: skip
    rows = _summary(found)
    shown = [(k, layout, str(n), str(len(t)), f"{1e6 * min(t):.1f}", f"{1e6 * max(t):.1f}") for k, layout, n, t in rows]
    record = {
        "profile": str(job.output), "name": found.name, "runtime": found.runtime, "version": found.version,
        "threads": list(found.threads), "caches": list(found.caches), "session": found.session,
        "measured": [
            {"kind": k, "layout": layout, "threads": n, "layers": len(t), "fastest": min(t), "slowest": max(t)}
            for k, layout, n, t in rows
        ],
    }  # fmt: skip
    say.report(
        record,
        table(f"{found.name}, {found.runtime} {found.version}", columns, shown),
        f"caches {', '.join(f'{size:,}' for size in found.caches) or 'unknown'} bytes; written to {job.output}",
    )


def _runtime(name: str) -> Runtime:
    """Return a runtime by its name; onnxruntime is imported where it is asked for."""
    if name == Torch.name:
        return Torch()
    from laconic.deploy.onnx_runtime import OnnxRuntime

    return OnnxRuntime()


def _summary(found: Profile) -> list[tuple[str, str, int, list[float]]]:
    """Return the seconds of each kind, layout and number of threads."""
    groups: dict[tuple[str, str, int], list[float]] = {}
    for point in found.points:
        key = point.layer.kind, point.setting.layout, point.setting.threads
        groups.setdefault(key, []).append(point.seconds)
    return [(*key, seconds) for key, seconds in groups.items()]
