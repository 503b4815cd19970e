"""The last percent of a budget: files beside those of passes, which take a little more or less.

A level says which steps there are, and files leap where these change, where a tensor ends as zeros, or where one
decision changes all that follow. The price of a bit is a finer knob: levels and code lengths stay, steps and scales
nearly so, and integers are chosen otherwise. Where a file still leaps from one price to the next, all is kept up to the
weight in which both differ first, and those after it have prices of their own: what is missing is less each time. Where
no price helps, vectors on grids are finer or coarser.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice

from laconic.calibrate.network import Network, Tick
from laconic.calibrate.sequence import again
from laconic.calibrate.trial import Files, Trial

_STARTS = 6
"""Passes beside which other prices are tried, at most."""

_CLOSE = 0.1
"""Nepers of its bytes between such a file and the size."""

_MOST = 40
"""Passes with other prices, at most."""

_COSTLY = 10
"""Of a network that is not small."""

_WAY = 6.0
"""Octaves that are looked at, up and down."""

_NEXT = 1 / 256
"""Octaves between files that are next to each other."""

_EDGE = 0.1
"""Of the way between two files, how near to one of them none is tried."""

_ALIKE = 3
"""Files of the same length, one after the other, after which none is tried."""

Side = tuple[float, Trial] | None
"""A file, and at how many octaves."""


def filled(files: Files, size: int, aim: float, trials: Sequence[Trial], tick: Tick, *, small: bool) -> Iterator[Trial]:
    """Yield files beside some, until one is near a size and no smaller one is better.

    Args:
        files: what makes one of a pass.
        size: bytes that a file may have.
        aim: bytes that it is to have.
        trials: those so far, of passes.
        tick: told of the progress.
        small: whether passes cost next to nothing.
    """
    every = [*trials]
    for trial in _beside(files, size, aim, every, tick, _MOST if small else _COSTLY):
        every.append(trial)
        yield trial
        within = _within(every, size)
        near = [one.distance for one in within if one.is_near(size)]
        if near and min(near) <= min(one.distance for one in within):
            return


def _beside(files: Files, size: int, aim: float, every: Sequence[Trial], tick: Tick, most: int) -> Iterator[Trial]:
    """Yield files beside those so far, a list that grows with them, of ``most`` passes; else arguments as `filled`."""

    def priced(trial: Trial, first: int, octaves: float) -> Trial:
        how = replace(trial.how, price=trial.how.price * 2.0**octaves)
        return files.trial(again(files.network, trial.calibrated, how, first, tick), how)

    def coarser(trial: Trial, octaves: float) -> Trial:
        own = trial.calibrated
        return files.trial(replace(own, level=own.level * 4.0**octaves), trial.how)

    beside = (_until_near(_priced(files.network, start, aim, priced), size) for start in _starts(every, size))
    yield from islice(chain.from_iterable(beside), most)
    for least in (lambda trial: trial.distance, lambda trial: -trial.file_bytes):
        within = _within(every, size) or [min(every, key=lambda trial: trial.file_bytes)]
        start = min(within, key=least)
        yield from _until_near(approached(start, aim, partial(coarser, start)), size)


def _starts(trials: Sequence[Trial], size: int) -> list[Trial]:
    """Return the passes beside which prices are tried: the nearest to a size, then those not far, the best first."""

    def far(trial: Trial) -> float:
        return abs(math.log(trial.file_bytes / size))

    nearest = min(trials, key=far)
    if not _within(trials, size):
        return [nearest]
    close = [trial for trial in trials if far(trial) <= _CLOSE and not math.isnan(trial.distance)]
    apart = {nearest.file_bytes: nearest}
    for trial in sorted(close, key=lambda trial: trial.distance):
        apart.setdefault(trial.file_bytes, trial)
    return [*apart.values()][:_STARTS]


def _until_near(trials: Iterator[Trial], size: int) -> Iterator[Trial]:
    """Yield files up to the first that is near a size."""
    for trial in trials:
        yield trial
        if trial.is_near(size):
            return


def _within(trials: Sequence[Trial], size: int) -> list[Trial]:
    """Return the files that a size has room for, but those whose outputs are NaN."""
    return [trial for trial in trials if trial.file_bytes <= size and not math.isnan(trial.distance)]


def _priced(
    network: Network, start: Trial, aim: float, file_at: Callable[[Trial, int, float], Trial]
) -> Iterator[Trial]:
    """Yield files beside one of a pass with other prices of a bit, nearer and nearer to a size.

    Args:
        network: ready.
        start: the file.
        aim: bytes.
        file_at: the same pass with another price for the weights from a place on, so many octaves above its own.
    """
    first, base = 0, start
    while first < len(network.subjects):
        over, under = yield from approached(base, aim, partial(file_at, base, first))
        if over is None or under is None:
            return
        first, base = _parting(network, over[1], under[1]) + 1, over[1]


def approached(
    start: Trial, aim: float, file_at: Callable[[float], Trial]
) -> Generator[Trial, None, tuple[Side, Side]]:
    """Yield files nearer and nearer to a size; return the two beside it, the larger one first.

    Args:
        start: the file at 0 octaves.
        aim: bytes.
        file_at: the file at so many octaves: the more, the smaller it is, by and large.
    """
    seen = [(0.0, start)]
    while True:
        under = min((one for one in seen if one[1].file_bytes <= aim), key=lambda one: one[0], default=None)
        above = [one for one in seen if one[1].file_bytes > aim and (under is None or one[0] < under[0])]
        over = max(above, key=lambda one: one[0], default=None)
        octaves = _between(over, under, aim)
        if octaves is None or (len({trial.file_bytes for _, trial in seen[-_ALIKE:]}) == 1 and len(seen) >= _ALIKE):
            return over, under
        seen.append((octaves, file_at(octaves)))
        yield seen[-1][1]


def _between(over: Side, under: Side, aim: float) -> float | None:
    """Return at how many octaves the next file is; None where nothing lies between, or too far away."""
    if over is not None and under is not None:
        way = under[0] - over[0]
        share = (over[1].file_bytes - aim) / (over[1].file_bytes - under[1].file_bytes)
        return over[0] + way * min(max(share, _EDGE), 1 - _EDGE) if way > _NEXT else None
    if over is not None:
        return 2 * over[0] + 1 if over[0] < _WAY else None
    return 2 * under[0] - 1 if under is not None and under[0] > -_WAY else None


def _parting(network: Network, one: Trial, other: Trial) -> int:
    """Return the place of the first weight in which two files differ, or how many there are."""
    of, beside = one.calibrated.rounded, other.calibrated.rounded
    names = [subject.name for subject in network.subjects]
    apart = (place for place, name in enumerate(names) if (of[name].levels != beside[name].levels).any())
    return next(apart, len(names))
