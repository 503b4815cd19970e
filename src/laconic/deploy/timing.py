"""How long calls take: those that are compared by turns, so that a busy machine is busy for all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from laconic import interrupts

WARM, FEWEST, MOST = 3, 7, 400
"""Calls of each before the clock runs, and with it, at least and at most."""

ROWS = (1, 32)
"""Samples of the calls of a network that are timed."""

SECONDS = 1.0
"""That the calls of each number of samples take together, with the clock running."""


@final
@dataclass(frozen=True)
class Time:
    """One of several that were timed by turns.

    Args:
        milliseconds: the median of its calls.
        ratio: the median, over the turns, of the first one's time over its own: above 1 it is faster.
    """

    milliseconds: float
    ratio: float


def timed(runs: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Time]:
    """Return the times of ``runs``, called by turns for about so many seconds in all.

    Args:
        runs: by name; ratios are to the first.
        seconds: of all calls with the clock running; each is called 7 times in any case.
    """
    for run in runs.values():
        for _ in range(WARM):
            run()
    took: dict[str, list[float]] = {name: [] for name in runs}
    end, turns = time.perf_counter() + seconds, 0
    while turns < FEWEST or (turns < MOST and time.perf_counter() < end):
        interrupts.check()
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            took[name].append(time.perf_counter() - start)
        turns += 1
    first = next(iter(took.values()), [])
    return {
        name: Time(1e3 * statistics.median(own), statistics.median(a / b for a, b in zip(first, own, strict=True)))
        for name, own in took.items()
    }
