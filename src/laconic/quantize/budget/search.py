"""One step for the whole network, such that the budget is met.

    min Σ (w − ŵ)²   subject to   bytes of the file ≤ budget        (or: the fewest bytes within a distortion)

The water level of reverse water-filling: where errors add up, the best shares of a budget have one slope everywhere,
and on grids one slope is one step. What is left to find is that one number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.quantize.budget.budget import QUALITIES, Budget, Fitted, Tools
from laconic.quantize.budget.network import RECORD, Network
from laconic.quantize.lattice import Assignment, Quantized, Quantizer, Rehearsal
from laconic.quantize.lattice.secant import between, next_step

PASSES = 8
"""Passes over the weights that the search for the step takes at most."""

NEAR = 0.01
"""A size is met from below within this share."""

_AIM, _ENOUGH = 0.998, 0.995  # of a size: what is aimed at, and what ends the search
_AIM_SNR, _ENOUGH_SNR = 0.9985, 0.997  # the same of a distortion
_LEARNING = 3  # passes that take the code lengths of the one before; later ones keep them, and bytes follow the step
_REHEARSED = 1 << 17  # weights on which steps are tried first
_TRIALS = 24  # of these
_NEARLY = 0.02  # of a size, or octaves of an error: where the sample need not be asked again
_FLAT = 1e-3  # the slope where none is seen
_NEXT = 1e-3  # octaves between two steps, where shares do as well
_SHARES, _LOSS = 16, 0.1  # of two trials that are tried; what a size that is met may cost, in dB
_CLASSES = 0.75  # octaves of the step after which the classes of scale are made anew
_SETTLED = 0.004  # octaves that the last of these moved
_APART = 0.1  # octaves between the two that tell the slope

Watch = Callable[[int, int], None]
"""Is told after each pass its number and the bytes of the file, as far as they are known."""


def fit(
    tensors: Mapping[str, np.ndarray],
    budget: Budget,
    tools: Tools | None = None,
    metadata: Mapping[str, str] | None = None,
    watch: Watch | None = None,
    *,
    reference_bytes: int | None = None,
) -> Fitted:
    """Return the codes of ``tensors`` within ``budget``: floats with two or more axes on one grid, the rest lossless.

    A size is never overshot, and met within 1 % unless nothing is left to tell; in files of less than some 300 bytes it
    may end a few bytes short, for a word of the coder has two and a table more. An SNR is never missed, and exceeded by
    less than 0.1 dB but for a few hundred weights. Steps are tried on 131,072 of the weights first, and then on all of
    them in at most 8 passes: three that learn the code lengths, and others that keep them. Where bytes leap from one
    step to the next, a share of the finer trial is taken, and then the coarser; networks that are no larger than the
    sample are tried more often.

    A network of more than 2²⁴ weights is never in memory as a whole: every pass asks for one tensor after the other,
    and what stays is their codes.

    Args:
        tensors: by name; may be a mapping that reads a tensor when it is asked for.
        budget: what is asked.
        tools: what the codec may use; `QUALITIES` names three sets.
        metadata: text that the file will have beside the tensors, for it is counted.
        watch: told of every pass.
        reference_bytes: of the uncompressed file, for a ratio.

    Raises:
        PlanError: when no step meets the budget; it says what can be met.
        WeightsError: for NaN and infinite weights.

    >>> weights = {"w": np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)}
    >>> fit(weights, Budget(bits=3)).file_bytes <= 3 * 10_000 / 8
    True
    """
    network = Network(tensors, tools or QUALITIES["default"], metadata or {})
    search = _Search(network, budget, budget.bytes(network.elements, reference_bytes))
    return search.run(watch or (lambda number, size: None)) if network.sizes else search.nothing()


@final
@dataclass(frozen=True, eq=False)
class _Trial:
    """What one step came to.

    Args:
        x: log₂ of the step.
        groups: the quantizations.
        file_bytes: of the file, nearly.
        excess: how far above the budget it is: in bits a weight, or octaves of the distortion's root.
    """

    x: float
    groups: Sequence[Quantized]
    file_bytes: float
    excess: float

    def hows(self, x: float, *, learning: bool) -> list[Assignment]:
        """Return how integers are chosen at another step, with code lengths that these ask for or those they had."""
        return [group.learned(2.0**x) if learning else replace(group.assignment, step=2.0**x) for group in self.groups]


@final
class _Search:
    """The search for the step."""

    def __init__(self, network: Network, budget: Budget, size: int | None) -> None:
        self._network, self._budget, self._size = network, budget, size
        self._target = network.energy / 10 ** ((budget.snr or 0) / 10)
        self._beside = float(network.dense_bytes + RECORD * len(network.sizes))  # bytes of the file beside levels
        self._rounding = 1.0  # distortion of the file over that before its last rounding
        if size is not None and size <= (self._beside if network.sizes else network.dense_bytes - 1):
            raise self._failure(None)
        self._steep = 0.8 if size is None else -0.8  # how the excess changes with log₂ step where nothing is known
        self._aim, self._enough, self._near = self._goals()

    def nothing(self) -> Fitted:
        """Return the result where there is nothing to quantize."""
        return Fitted(self._network.dense, self._budget, self._network.dense_bytes, math.inf, 0.0, 0)

    def run(self, watch: Watch) -> Fitted:
        """Return the best of the trials."""
        quantizers, step = self._network.quantizers(self._size, self._target)
        self._beside = float(self._network.dense_bytes + RECORD * len(self._network.sizes))
        last, slope, learning = self._rehearsed(quantizers, math.log2(step))
        inside, outside, seen, x, known = list[_Trial](), list[_Trial](), list[tuple[float, float]](), last.x, False
        for number in range(1, PASSES + 1):
            last = self._passed(quantizers, last, x, learning=number <= learning)
            if not known or self._network.kept:
                self._calibrate(last.groups)
                last, known = self._trial(x, last.groups), True
            watch(number, round(last.file_bytes))
            if number > 1 and self._enough <= last.excess <= 0:
                found = self._fitted(last, number)
                last = self._trial(x, last.groups)  # bytes are known better now
                if found and self._enough <= last.excess:
                    return found
            if last.excess <= 0:
                inside = sorted([*inside, last], key=lambda trial: trial.excess)[-2:]
            else:
                outside = sorted([*outside, last], key=lambda trial: trial.excess)[:1]
            if number == 1 and abs(last.excess - self._aim) > self._near:
                last, slope, learning = self._rehearsed(quantizers, x)
                x, known, outside = last.x, False, []
            elif number < learning:
                x = self._held(x + min(max((self._aim - last.excess) / slope, -1.0), 1.0))
            else:
                seen.append((x, last.excess - self._aim))
                x = self._held(between(seen, slope))
        found = self._exact() if inside and inside[-1].x <= self._held(-math.inf) else None
        for trial in reversed(inside):
            found = found or self._fitted(trial, PASSES)
        if found and inside and outside:
            found = min([found, *self._between(quantizers, inside[-1], outside[0])], key=self._worse)
        if found is None:
            raise self._failure(last)
        return found

    def _passed(self, quantizers: Sequence[Quantizer], last: _Trial, x: float, *, learning: bool) -> _Trial:
        """Return a trial on all the weights."""
        pairs = zip(quantizers, last.groups, last.hows(x, learning=learning), strict=True)
        return self._trial(x, [quantizer.round(group.scales, how) for quantizer, group, how in pairs])

    def _between(self, quantizers: Sequence[Quantizer], coarse: _Trial, fine: _Trial) -> list[Fitted]:
        """Return what lies between two trials, one within the budget and one beyond it, and is within it.

        In a network no larger than the sample steps between them are tried, which costs no more than on the sample.
        Then shares of the finer trial, the rest the coarser; that takes no pass. Between steps that are too far apart
        for their integers to mean the same, the error grows.
        """
        if not self._network.kept or any(
            a.scales is not b.scales for a, b in zip(fine.groups, coarse.groups, strict=True)
        ):
            return []
        for _ in range(_TRIALS if self._network.weights <= _REHEARSED else 0):
            if coarse.excess >= self._enough or abs(fine.x - coarse.x) < _NEXT:
                break
            trial = self._passed(quantizers, coarse, (fine.x + coarse.x) / 2, learning=False)
            self._calibrate(trial.groups)
            trial = self._trial(trial.x, trial.groups)
            coarse, fine = (trial, fine) if trial.excess <= 0 else (coarse, trial)
        known = self._fitted(coarse, PASSES)
        found, least = [known] if known else [], known.snr - _LOSS if known and self._size is not None else -math.inf
        pairs = list(zip(quantizers, fine.groups, coarse.groups, strict=True))
        seen = [(1.0, fine.excess - self._aim), (0.0, coarse.excess - self._aim)]
        while len(seen) < _SHARES and not self._enough <= seen[-1][1] + self._aim <= 0:
            share = between(seen, 1.0)
            groups = [quantizer.between(a, b, share) for quantizer, a, b in pairs]
            fitted = self._fitted(self._trial(coarse.x, groups), PASSES)
            found += [fitted] if fitted and fitted.snr > least else []
            seen.append((share, self._trial(coarse.x, groups).excess - self._aim))
        return found

    def _worse(self, found: Fitted) -> tuple[bool, float]:
        """Return what is least where a result within the budget is best: first that a size is met, then the error."""
        if self._size is None:
            return False, found.file_bytes
        return found.file_bytes < self._size * (1 - NEAR), -found.snr

    def _exact(self) -> Fitted | None:
        """Return all tensors as they are where there is room for them: beyond the finest step nothing else helps."""
        codes = self._network.lossless(self._network.tensors)
        size = container.bits(codes, self._network.metadata) // 8
        if self._size is None or size > self._size:
            return None
        return Fitted(codes, self._budget, size, math.inf, 0.0, PASSES, tuple(self._network.sizes))

    def _rehearsed(self, quantizers: Sequence[Quantizer], x: float) -> tuple[_Trial, float, int]:
        """Return a trial on some of the weights that meets the budget there, the excess's slope, the passes that learn.

        Code lengths are learned on the way. Where they do not settle, for the more weights are 0 the cheaper 0 becomes,
        they are kept as they were last above the budget, and no pass learns.
        """
        share = max(_REHEARSED // max(len(quantizers), 1), 1 << 10)
        plays, origin, seen = list[Rehearsal](), math.inf, list[tuple[float, float]]()
        above: tuple[_Trial, list[Rehearsal]] | None = None
        for _ in range(_TRIALS):
            if abs(x - origin) > _CLASSES:
                plays = [quantizer.rehearsal(2.0**x, share) for quantizer in quantizers]
                last, origin, seen = self._trial(x, [play.first(2.0**x) for play in plays]), x, []
            last = self._played(plays, last, x, learning=True)
            if last.excess > 0 and (above is None or last.excess < above[0].excess):
                above = last, plays
            seen.append((x, last.excess))
            wanted = self._held(next_step(seen, self._steep, self._aim))
            if abs(wanted - x) < _SETTLED or (len(seen) > 2 and self._enough <= last.excess <= 0):
                break
            x = wanted
        learning = _LEARNING
        if above is not None and abs(last.excess - self._aim) > self._near:
            (start, plays), learning = above, 0
            seen = [(start.x, start.excess - self._aim)]
            for _ in range(_TRIALS):
                last = self._played(plays, start, self._held(between(seen, self._steep)), learning=False)
                seen.append((last.x, last.excess - self._aim))
        aside = self._played(plays, last, last.x + _APART, learning=False)
        slope = (aside.excess - last.excess) / _APART
        return last, math.copysign(max(slope * self._steep, 0) / abs(self._steep) or _FLAT, self._steep), learning

    def _played(self, plays: Sequence[Rehearsal], last: _Trial, x: float, *, learning: bool) -> _Trial:
        """Return a trial on some of the weights."""
        hows = last.hows(x, learning=learning)
        return self._trial(x, [play.round(how) for play, how in zip(plays, hows, strict=True)])

    def _trial(self, x: float, groups: Sequence[Quantized]) -> _Trial:
        """Return what the groups come to."""
        size = self._beside + sum(group.file_bytes for group in groups)
        if self._size is not None:
            return _Trial(x, groups, size, 8 * (size - self._size) / self._network.weights)
        distortion = self._rounding * sum(group.distortion for group in groups)
        excess = math.log2(max(distortion, 1e-300) / self._target) / 2 if self._target else 0.0
        return _Trial(x, groups, size, excess)

    def _held(self, x: float) -> float:
        """Return ``x``, or the least at which integers stay within their 32 bits, or the most: there all are 0."""
        least, most = self._network.least, self._network.most
        return min(max(x, math.log2(least)), math.log2(most)) if least else x

    def _goals(self) -> tuple[float, float, float]:
        """Return the excess that is aimed at, the least that ends the search, and how far off a rehearsal may be."""
        if self._size is None:
            return math.log2(_AIM_SNR) / 2, math.log2(_ENOUGH_SNR) / 2, _NEARLY
        each = 8 / max(self._network.weights, 1)
        aim, enough = max(self._size * (1 - _AIM), 0.75), max(self._size * (1 - _ENOUGH), 1.5)
        return -aim * each, -enough * each, max(self._size * _NEARLY, 8) * each

    def _calibrate(self, groups: Sequence[Quantized]) -> tuple[dict[str, Code], int, float]:
        """Return the codes of the file, its bytes, and its distortion: what trials are measured by from now on."""
        made = dict(self._network.dense)
        for group in groups:
            made |= group.codes()
        codes = {name: made[name] for name in self._network.tensors}
        size = container.bits(codes, self._network.metadata) // 8
        self._beside = size - sum(group.file_bytes for group in groups)
        lost = self._network.distortion(codes) if self._size is None else 0.0
        before = sum(group.distortion for group in groups)
        self._rounding = lost / before if before and lost else 1.0
        return codes, size, lost

    def _fitted(self, trial: _Trial, passes: int) -> Fitted | None:
        """Return the result, or None where the file is not within the budget after all."""
        codes, size, lost = self._calibrate(trial.groups)
        if size > self._size if self._size is not None else lost > self._target:
            return None
        lost = lost or self._network.distortion(codes)
        snr = 10 * math.log10(self._network.energy / lost) if lost else math.inf
        kept = tuple(name for name in self._network.sizes if name in self._network.dense)
        return Fitted(codes, self._budget, size, snr, 2.0**trial.x, passes, kept)

    def _failure(self, trial: _Trial | None) -> PlanError:
        """Return the error of a budget that was not met."""
        if self._size is None:
            return PlanError(f"no step gives {self._budget}: the tensors' own type is too coarse for it")
        reached = "names take the rest"
        if trial is not None:
            reached = f"the smallest file tried has {trial.file_bytes:,.0f}"
        asked = f"{self._budget} are" if self._budget.size else f"{self._budget} are {self._size:,} bytes,"
        return PlanError(
            f"{asked} too few: biases, norms and names that are stored as they are "
            f"take {self._network.dense_bytes:,}, and {reached}"
        )
