"""A network in a file of so many bytes: the water level at which its weights take what the budget leaves them.

A first level follows from the scales of the weights (`laconic.calibrate.rates`); each pass over the network then holds
its bits to what is asked, learns code lengths for the next, and is judged by samples that it has not seen.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.calibrate.network import Network, Tick
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.remainder import filled
from laconic.calibrate.sequence import level_of, passed
from laconic.calibrate.trial import SLACK, Files, Trial
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes.grid import GridCode
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.lossless import lossless, together
from laconic.models.params import to_numpy
from laconic.quantize.budget import NEAR

AIM = 0.004
"""How far below the budget a pass aims, as a share of it."""

_MORE = 9
"""Passes beyond those that were asked for, at most: files of small networks leap; of those twice as many."""

_LEAP = 8
"""Bits between what two passes are asked for: where none is met, files leap here, and another one says nothing."""

_SMALL = 1 << 15
"""Weights of a small network."""

_PRIOR = 64
"""Weights of each class that are taken to be as expected, beside those that have been seen: a class may be new."""

_ASTRAY = 0.05
"""Files that are this near to the size, in nepers, say more than those before them."""

_LEAST = 1 / 64
"""Bits a weight that integers may take in any case."""

_RECORD = 40  # bytes of a weight beside its integers, scales and steps, before any has been written
_STATE = 3  # bytes of a lane: of the four of its state a half holds what has been coded, about


def fit(files: Files, size: int, tries: Sequence[Recursion], tick: Tick) -> tuple[Trial, int]:
    """Return the trial within ``size`` bytes whose outputs are nearest to the original's, and how many there were.

    It is within 1 % of the size; where no file lies there, the largest. Passes come first, and where none of them is
    near, files beside them (`laconic.calibrate.remainder`).

    Args:
        files: what makes one of a pass.
        size: bytes of the file.
        tries: how each pass quantizes; where none is within the budget and near it, the last is tried again.
        tick: told of the progress.

    Raises:
        PlanError: when no pass is within the budget; it names the smallest file.
    """
    network, trials = files.network, list[Trial]()
    for trial in around(files, size, tries, tick):
        trials.append(trial)
        if not network.subjects or (len(trials) >= len(tries) and any(trial.is_near(size) for trial in trials)):
            break
    small = _numbers(network) < _SMALL
    if network.subjects and not any(trial.is_near(size, SLACK if small else NEAR) for trial in trials):
        trials.extend(filled(files, size, size * (1 - AIM), trials, tick, small=small))
    within = [trial for trial in trials if trial.file_bytes <= size]
    if within and all(math.isnan(trial.distance) for trial in within):
        raise PlanError(
            f"in {size:,} bytes the network's outputs are NaN, whichever of {len(within)} files is taken: give more "
            "bytes, or keep the tensors that it divides by as they are (lossless)"
        )
    within = [trial for trial in within if not math.isnan(trial.distance)]
    if not within:
        least = min(trials, key=lambda trial: trial.file_bytes)
        integers = sum(len(code.payload) for code in least.codes.values() if isinstance(code, GridCode))
        raise PlanError(
            f"{size:,} bytes are not met; the smallest file that was made has {least.file_bytes:,}, of which "
            f"{least.file_bytes - integers:,} are no integers of weights: names, shapes and checksums of "
            f"{len(least.codes)} tensors, tables, biases and whatever stays as it is"
        )
    for share in (NEAR,) if small else (SLACK, NEAR):
        if near := [trial for trial in within if trial.is_near(size, share)]:
            return min(near, key=lambda trial: trial.distance), len(trials)
    return max(within, key=lambda trial: trial.file_bytes), len(trials)


def around(files: Files, size: int, tries: Sequence[Recursion], tick: Tick) -> Iterator[Trial]:
    """Yield files of about ``size`` bytes: one for each of ``tries``, and some more by the last; arguments as `fit`."""
    network, trials = files.network, list[Trial]()
    aims = [_Aim(None, {}, 8 * (size * (1 - AIM) - _beside(files)))]
    least = _LEAST * _numbers(network)
    small = _numbers(network) < _SMALL
    for how in [*tries, *[tries[-1]] * (2 * _MORE if small else _MORE)]:
        aim = replace(aims[-1], wanted=max(aims[-1].wanted, least))
        level = level_of(network.subjects, aim.ratios, aim.wanted)
        costs = smoothed_costs(
            expected_counts(how.nu) if aim.counts is None else aim.counts + expected_counts(how.nu, _PRIOR)
        )
        calibrated = passed(network, level, aim.wanted, costs, how, tick, aim.ratios)
        trials.append(files.trial(calibrated, how))
        yield trials[-1]
        aims = [*aims[:-1], aim]
        aims.append(_next(trials, aims, size, len(tries)))
        moved = abs(max(aims[-1].wanted, least) - aim.wanted)
        if small and len(trials) > len(tries) and moved < _LEAP:
            return


def _numbers(network: Network) -> int:
    """Return how many weights are quantized."""
    return sum(network.params[subject.name].numel() for subject in network.subjects)


def expected(files: Files, level: float) -> int:
    """Return about how many bytes a file takes whose weights have a water level."""
    bits = sum(subject.bits(level) for subject in files.network.subjects) + 8.0 * _beside(files)
    return math.ceil(bits / 8 / (1 - AIM))


@final
@dataclass(frozen=True, eq=False)
class _Aim:
    """What a pass begins with.

    Args:
        counts: of an earlier pass, that code lengths follow; None for those that are expected.
        ratios: likewise: bits of each weight beside what its scales say.
        wanted: bits of all integers.
    """

    counts: np.ndarray | None
    ratios: Mapping[str, float]
    wanted: float


def _next(trials: Sequence[Trial], aims: Sequence[_Aim], size: int, tries: int) -> _Aim:
    """Return what the next pass begins with: what the last one tells, or, where that went astray, the nearest one did.

    At low rates zeros make zeros cheap, and one pass can leave next to nothing: nothing is learned from it. After the
    first ``tries`` nothing more is learned but how many bits to ask for, first by what the nearest file tells, then by
    what it began with itself.
    """
    wanted, further = 8 * size * (1 - AIM), len(trials) - tries
    misses = [abs(math.log(trial.file_bytes / size)) for trial in trials]
    nearest = int(np.argmin(misses))
    if further <= 0:
        last = trials[nearest] if further == 0 else trials[-1]
        if further == 0 or misses[-1] <= max(_ASTRAY, misses[nearest]):
            beside = 8 * last.file_bytes - last.calibrated.bits
            aim = _Aim(last.calibrated.counts, last.calibrated.ratios, wanted - beside)
            if not any(one.counts is aim.counts and one.wanted == aim.wanted for one in aims):  # the same pass again
                return aim
    base = aims[nearest] if further < 0 or further in (_MORE // 2, _MORE) else aims[-1]
    alike = [
        (aim.wanted, 8 * one.file_bytes) for aim, one in zip(aims, trials, strict=True) if aim.counts is base.counts
    ]
    under, over = ([at for at, got in alike if (got > wanted) == above] for above in (False, True))
    if under and over:
        return replace(base, wanted=(max(under) + min(over)) / 2)
    return replace(base, wanted=alike[-1][0] + wanted - alike[-1][1])


def _beside(files: Files) -> int:
    """Return the bytes that a file takes beside the integers, about."""
    network = files.network
    weights = {subject.name for subject in network.subjects}
    lanes = sum(lane_count(network.params[name].numel()) for name in weights)
    vectors = network.biases.keys() | network.vectors.keys()
    rest = {name: lossless(to_numpy(network.params[name])) for name in network.params if name not in weights | vectors}
    rest |= {name: one.code for name, one in network.given.items()}
    few = sum(network.params[name].numel() for name in vectors)
    records = {subject.bias for subject in network.subjects} | vectors  # one for all weights without a vector
    own = _RECORD * len(weights) + _STATE * lanes + 2 * few + 16 * len(records)
    return container.bits(together(rest), files.metadata) // 8 + own
