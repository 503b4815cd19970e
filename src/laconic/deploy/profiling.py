"""Measuring a machine: the time of each kind of layer over shapes, layouts, batches and threads."""

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple, final

import torch

from laconic import interrupts
from laconic.csteps.layers import OTHERS, Layer
from laconic.csteps.profile import LAYOUTS, Point, Profile, Setting
from laconic.deploy.runtimes import Run, Runtime
from laconic.errors import DataError

_DENSE = ((12, 96), (96, 300), (250, 700), (400, 900), (24, 24), (1500, 400), (90, 450), (220, 2000), (1000, 1000))
_CONVOLUTIONS = (
    (12, 3, 3, 28), (24, 12, 3, 28), (12, 12, 3, 28), (6, 24, 3, 28), (48, 3, 3, 28), (24, 24, 3, 14), (48, 24, 3, 14),
    (12, 48, 3, 14), (48, 48, 3, 7), (96, 48, 3, 7), (96, 96, 3, 14), (24, 96, 3, 7), (300, 300, 3, 4), (24, 4, 1, 28),
    (6, 24, 1, 28), (48, 12, 1, 14), (96, 96, 1, 7), (24, 1, 5, 22), (40, 24, 5, 9),
)  # fmt: skip
_GROUPED = ((12, 12, 3, 28), (48, 48, 3, 14), (96, 96, 3, 28), (192, 192, 3, 7), (48, 4, 3, 14), (96, 3, 3, 7))
_IMAGES = ((4, 8), (4, 24), (16, 30), (24, 60), (32, 120))
"""Shapes that are measured: (outputs, inputs); (outputs, inputs, side of the kernel, of the image); (channels, groups,
sides); of what is no product (channels, side of the image). None is a layer of a reference network: what is predicted
of these was not measured."""

_TILES = (32, 128)
"""Rows of a block."""


@final
@dataclass(frozen=True)
class Effort:
    """How long measuring takes.

    Args:
        seconds: of repetitions of one layer in one round, at least `repeats` of them.
        rounds: over all layers; the median of each layer over all rounds is kept, so that other work of the machine
            disturbs some rounds and not one layer.
        repeats: at least, after two that warm up.
        every: of the shapes of a kind, each so many-th is measured.
        batches: inputs at a time, beside 1.
    """

    seconds: float = 0.006
    rounds: int = 3
    repeats: int = 5
    every: int = 1
    batches: tuple[int, ...] = (1, 32)


QUICK = Effort(seconds=0.0, rounds=1, repeats=3, every=4, batches=(1,))
"""A second: rough, for a look and for tests."""


_SLOW = 0.02
"""Seconds of a run that is repeated twice: other work of the machine weighs little in it."""


class Case(NamedTuple):
    """What is measured."""

    layer: Layer
    setting: Setting
    batch: int


def cases(effort: Effort, threads: tuple[int, ...]) -> Iterator[Case]:
    """Give what is measured: each shape in each layout, batch and number of threads."""
    layers = [Layer("dense", outputs, inputs) for outputs, inputs in _DENSE[:: effort.every]]
    for outputs, inputs, kernel, image in _CONVOLUTIONS[:: effort.every]:
        layers.append(Layer("convolution", outputs, inputs, (kernel, kernel), positions=image * image))
    for channels, groups, kernel, image in _GROUPED[:: effort.every]:
        layers.append(Layer("grouped", channels, channels, (kernel, kernel), groups, image * image))
    for layer, batch, count in product(layers, effort.batches, threads):
        for layout in LAYOUTS[layer.kind]:
            for tile in _TILES if layout == "tiles" else (0,):
                if tile < layer.outputs:
                    yield Case(layer, Setting(layout, tile, count), batch)
    for kind, (channels, image), count in product(OTHERS, _IMAGES[:: effort.every], threads):
        written = channels // 4 if kind == "pooling" else channels
        yield Case(Layer(kind, written, channels, positions=image * image), Setting("rows", 0, count), 1)


def measure(
    runtime: Runtime,
    threads: tuple[int, ...],
    effort: Effort | None = None,
    name: str = "",
    watch: Callable[[float], None] | None = None,
) -> Profile:
    """Return the profile of this machine.

    Args:
        runtime: what runs the layers.
        threads: numbers that are tried.
        effort: how long it takes; some half a minute unless told.
        name: of the machine; what the system says unless told.
        watch: told what share is done.

    Raises:
        DataError: for numbers of threads below 1, or a layer whose time cannot be told.
    """
    if not threads or min(threads) < 1:
        raise DataError(f"threads are numbers from 1 on, not {list(threads)}")
    effort, before = effort or Effort(), torch.get_num_threads()
    empty, wanted = runtime.empty(), list(cases(effort, threads))
    taken: dict[Case, list[float]] = {}
    sessions = list[float]()
    try:
        for turn in range(effort.rounds):
            sessions += [] if empty is None else [median_seconds(empty, 1, effort)]
            for number, case in enumerate(wanted):
                interrupts.check()
                run = runtime.prepared(*case)
                if run is not None:
                    taken.setdefault(case, []).append(median_seconds(run, case.setting.threads, effort))
                if watch is not None:
                    watch((turn + (number + 1) / len(wanted)) / effort.rounds)
    finally:
        torch.set_num_threads(before)
    session = statistics.median(sessions) if sessions else 0.0
    medians = {case: statistics.median(times) for case, times in taken.items()}
    alike = sorted(medians, key=lambda case: (case.layer.kind, case.setting))  # as the file has them
    points = tuple(Point(*case, max(medians[case] - session, medians[case] / 20)) for case in alike)
    return Profile(
        name or _machine(), runtime.name, runtime.version, tuple(sorted(set(threads))), caches(), session=session,
        points=points,
    )  # fmt: skip


def median_seconds(run: Run, threads: int, effort: Effort) -> float:
    """Return the median seconds of a run, after one or two that warm up.

    One thread is timed by the clock of its own work, which stands still where the machine does something else; several
    are timed by the wall.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    slow = _timed(run, clock) > _SLOW
    if not slow:
        run()
    times, end = list[float](), time.perf_counter() + effort.seconds
    while len(times) < (2 if slow else effort.repeats) or time.perf_counter() < end:
        times.append(_timed(run, clock))
    return max(statistics.median(times), 1e-9)


def _timed(run: Run, clock: Callable[[], float]) -> float:
    """Return the seconds of one run."""
    start = clock()
    run()
    return clock() - start


def caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> tuple[int, ...]:
    """Return the bytes of each level of the cache for data, the smallest first; () where the system does not say."""
    found = dict[int, int]()
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((index / key).read_text("ascii").strip() for key in ("level", "type", "size"))
        except (OSError, UnicodeDecodeError):
            continue
        unit = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(size[-1:], 0)
        if kind in ("Data", "Unified") and unit and size[:-1].isdigit() and level.isdigit():
            found[int(level)] = int(size[:-1]) * unit
    return tuple(found[level] for level in sorted(found))


def _machine() -> str:
    """Return what the system says of its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()
