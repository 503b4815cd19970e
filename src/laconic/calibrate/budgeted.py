"""A network in a file of so many bytes: the water level at which its weights take what the budget leaves them.

A first level follows from the scales of the weights (`laconic.calibrate.rates`); each pass over the network then holds
its bits to what is asked, learns code lengths for the next, and is judged by samples that it has not seen.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.calibrate.network import Network, Tick
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.sequence import Calibrated, level_of, passed
from laconic.calibrate.sequential import modelled
from laconic.calibrate.vectors import rounded_vectors
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.codes.grid import Grid, GridCode
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.lossless import lossless, together
from laconic.models.params import Params, decompress, to_numpy

AIM = 0.004
"""How far below the budget a pass aims, as a share of it."""

SLACK = 0.008
"""How far below it is near enough."""

_MORE = 9
"""Passes beyond those that were asked for, at most: files of small networks leap; of those twice as many."""

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


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """A pass and the file that it gives.

    Args:
        codes: of all tensors, in the order of the network.
        file_bytes: of the file.
        distance: of the outputs from the original's, on samples that the pass has not seen.
        calibrated: the pass.
        how: it quantized.
        untuned: the distance before vectors were tuned, where they were (`laconic.calibrate.tuning`).
    """

    codes: Mapping[str, Code]
    file_bytes: int
    distance: float
    calibrated: Calibrated
    how: Recursion
    untuned: float | None = None


def fit(
    network: Network, size: int, tries: Sequence[Recursion], names: Mapping[str, str], metadata: Mapping[str, str],
    judged: Callable[[Params], float], tick: Tick,
) -> tuple[Trial, int]:  # fmt: skip
    """Return the trial within ``size`` bytes whose outputs are nearest to the original's, and how many there were.

    Where none is near the size it is the largest.

    Args:
        network: ready.
        size: bytes of the file.
        tries: how each pass quantizes; where none is within the budget and near it, the last is tried again.
        names: every name of the file, with that of its tensor in the network.
        metadata: of the file.
        judged: how far outputs are with these tensors.
        tick: told of the progress.

    Raises:
        PlanError: when no pass is within the budget; it names the smallest file.
    """
    trials = list[Trial]()
    for trial in around(network, size, tries, names, metadata, judged, tick):
        trials.append(trial)
        if not network.subjects or (len(trials) >= len(tries) and any(_met(trial, size) for trial in trials)):
            break
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
    near = [trial for trial in within if _met(trial, size)]
    if near:
        return min(near, key=lambda trial: trial.distance), len(trials)
    return max(within, key=lambda trial: trial.file_bytes), len(trials)


def around(
    network: Network, size: int, tries: Sequence[Recursion], names: Mapping[str, str], metadata: Mapping[str, str],
    judged: Callable[[Params], float], tick: Tick,
) -> Iterator[Trial]:  # fmt: skip
    """Yield files of about ``size`` bytes: one for each of ``tries``, and some more by the last; arguments as `fit`."""
    trials, aims = list[Trial](), [_Aim(None, {}, 8 * (size * (1 - AIM) - _beside(network, names, metadata)))]
    least = _LEAST * sum(network.params[subject.name].numel() for subject in network.subjects)
    more = 2 * _MORE if least < _LEAST * _SMALL else _MORE
    for how in [*tries, *[tries[-1]] * more]:
        aim = replace(aims[-1], wanted=max(aims[-1].wanted, least))
        level = level_of(network.subjects, aim.ratios, aim.wanted)
        costs = smoothed_costs(
            expected_counts(how.nu) if aim.counts is None else aim.counts + expected_counts(how.nu, _PRIOR)
        )
        calibrated = passed(network, level, aim.wanted, costs, how, tick, aim.ratios)
        trials.append(trial_of(network, calibrated, how, names, metadata, judged))
        yield trials[-1]
        aims = [*aims[:-1], aim]
        aims.append(_next(trials, aims, size, len(tries)))


def expected(network: Network, level: float, names: Mapping[str, str], metadata: Mapping[str, str]) -> int:
    """Return about how many bytes a file takes whose weights have a water level; arguments are those of `fit`."""
    bits = sum(subject.bits(level) for subject in network.subjects) + 8.0 * _beside(network, names, metadata)
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


def _met(trial: Trial, size: int) -> bool:
    """Whether a file is within the budget, and near it."""
    return size * (1 - SLACK) <= trial.file_bytes <= size


def _beside(network: Network, names: Mapping[str, str], metadata: Mapping[str, str]) -> int:
    """Return the bytes that a file takes beside the integers, about."""
    weights = {subject.name for subject in network.subjects}
    lanes = sum(lane_count(network.params[name].numel()) for name in weights)
    vectors = {subject.bias for subject in network.subjects} | network.vectors.keys()
    rest = {name: lossless(to_numpy(network.params[name])) for name in network.params if name not in weights | vectors}
    few = sum(network.params[name].numel() for name in vectors if name)
    own = _RECORD * len(weights) + _STATE * lanes + 2 * few + 16 * len(vectors)
    return container.bits(together(rest), metadata) // 8 + own


def trial_of(
    network: Network, calibrated: Calibrated, how: Recursion, names: Mapping[str, str], metadata: Mapping[str, str],
    judged: Callable[[Params], float],
) -> Trial:  # fmt: skip
    """Return the file of a pass; arguments as `fit`, but for ``how`` it quantized."""
    codes = coded(network, calibrated, how)
    ordered = {name: codes[first] for name, first in names.items()}
    others = decompress({name: code for name, code in codes.items() if name not in calibrated.rounded})
    decoded = {name: tensor.to(network.params[name].device) for name, tensor in others.items()}
    params = {name: decoded.get(name, calibrated.params[name]) for name in codes}
    return Trial(ordered, container.bits(ordered, metadata) // 8, judged(params), calibrated, how)


def coded(network: Network, calibrated: Calibrated, how: Recursion) -> dict[str, Code]:
    """Return the codes of all tensors: weights with shared tables, biases on grids, and the rest without loss."""
    top = int(np.flatnonzero(calibrated.counts.any(axis=(1, 2))).max(initial=0)) + 1
    model = modelled(calibrated.counts[:top], how.nu)
    symbols = [one.symbols for one in calibrated.rounded.values()]
    shared = Grid.of(1.0, model, np.concatenate([np.zeros(0, np.int64), *symbols]))
    starts = np.cumsum([0, *map(len, symbols)]).tolist()
    weights = {
        name: one.code(shared, start) for (name, one), start in zip(calibrated.rounded.items(), starts, strict=False)
    }
    levels = {
        subject.bias: calibrated.level / (subject.mean_worth * subject.positions)
        for subject in network.subjects
        if subject.bias is not None
    }
    levels |= {name: min(calibrated.level * ratio, most) for name, (ratio, most) in network.vectors.items()}
    vectors = {name: to_numpy(calibrated.params[name]) for name in levels}
    biases = rounded_vectors(vectors, levels)
    own: dict[str, Code] = {**weights, **biases}
    rest = {name: lossless(to_numpy(tensor)) for name, tensor in calibrated.params.items() if name not in own}
    own |= together(rest)
    return {name: own[name] for name in network.params}
