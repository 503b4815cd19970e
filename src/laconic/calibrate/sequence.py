"""All weights of a network, one after the other: each for what it meets once those before it are compressed.

The water level follows the bits: what weights have taken so far, beside what was expected of them, says what the level
of the others must be for all to take what is asked. They have taken what a file has for them: integers by the tables
that suit all of them so far, whatever they were chosen with, and scales and steps. Where one of the last weights takes
so much more or less than expected that those that are left cannot make it good, it is quantized once more.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.forms import matrix
from laconic.calibrate.heap import trim
from laconic.calibrate.journal import Chosen
from laconic.calibrate.network import Network, Subject, Tick, alone
from laconic.calibrate.rates import suited
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.rounded import Rounded, entropy
from laconic.calibrate.sequential import SLOPE, prepared
from laconic.calibrate.statistics import Follower
from laconic.errors import LaconicError
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.levels import SIZES, centre_of
from laconic.format.coding.model import MAX_CLASSES
from laconic.models.params import Params, to_torch

_HELD = 0.5
"""The level moves by no more than so many powers of 2 on the way; twice as many where a weight is quantized again."""

_LATE = 1 / 4
"""Of all bits, those of the weights that are left where a weight may be quantized once more."""

_OFF = 0.003
"""Of all bits, what these may then be more or less than asked for."""

_ALIKE = 0.5
"""Octaves of bits a number within which weights take alike what is expected of them."""

_ANY = 1e-3
"""What others say, where there are none of these."""

_FEW = 1e-3
"""Bits a number, below which all are alike."""

_FALLEN = 1 / 16
"""Of what was expected of a weight, the least that is taken for what it will take."""


@final
@dataclass(frozen=True, eq=False)
class Calibrated:
    """What became of a network.

    Args:
        rounded: the weights by name, in the order in which they are used.
        params: the network with these weights, and with vectors that make good what their errors are in the mean.
        counts: how often each size occurs in each class and of each parity, shape (128, parities, 128).
        level: the last water level.
        ratios: bits that each weight took, beside what its scales alone say.
        bits: of the integers by tables of their own, and of their scales and steps, about.
        levels: the water level that each weight was quantized at.
        costs: bits of each |v| in each class that integers were chosen with, float32, shape (128, 1024).
    """

    rounded: dict[str, Rounded]
    params: dict[str, Tensor]
    counts: np.ndarray
    level: float
    ratios: Mapping[str, float]
    bits: float
    levels: Mapping[str, float]
    costs: np.ndarray

    def chosen(self, subject: Subject, nu: int) -> Chosen:
        """Return what was decided of a weight, with 2^ν states of the trellis, 0 for none."""
        rounded, changed = self.rounded[subject.name], [name for name in (subject.name, subject.bias) if name]
        of = {name: self.params[name] for name in changed}
        return Chosen(rounded, rounded.counts(nu), of, self.levels[subject.name])


@final
@dataclass(frozen=True, eq=False)
class _Account:
    """What weights have taken so far.

    Args:
        counts: as `Calibrated.counts`.
        symbols: how often each symbol of a scale occurs, which all have one table, shape (128,).
        steps: bits of their steps, about.
        each: of each weight the bits that were expected, these a number of it, and the bits that it took.
    """

    counts: np.ndarray
    symbols: np.ndarray
    steps: float
    each: tuple[tuple[float, float, float], ...] = ()

    def after(self, one: Chosen, expected: float) -> "_Account":
        """Return the same with a weight, of which so many bits were expected."""
        symbols = self.symbols + np.bincount(one.rounded.symbols, minlength=MAX_CLASSES)
        steps = self.steps + entropy(np.unique(one.rounded.steps, return_counts=True)[1])
        whole = _Account(self.counts + one.counts, symbols, steps)
        rate = expected / max(len(one.rounded.levels), 1)
        return replace(whole, each=(*self.each, (expected, rate, whole.spent - self.spent)))

    @cached_property
    def costs(self) -> np.ndarray:
        """Bits of each |v| in each class by tables that suit all integers so far."""
        return smoothed_costs(self.counts)

    @cached_property
    def spent(self) -> float:
        """Bits that have been taken."""
        return bits_of(self.counts, self.costs) + entropy(self.symbols) + self.steps

    def ratios(self, rest: Sequence[Subject], level: float, known: Mapping[str, float]) -> dict[str, float]:
        """Return what weights will take beside what their scales say: by those that have about as many bits a number.

        Args:
            rest: those that are left.
            level: at which bits are counted.
            known: what they took in an earlier pass beside what their scales say.
        """
        found = {one.name: known.get(one.name, 1.0) for one in rest}
        expected, rates, taken = np.array(self.each or [(1.0, 1.0, 1.0)]).T
        for one in rest:
            rate = found[one.name] * one.bits(level) / max(one.rate.many.sum(), 1)
            apart = np.log2(np.maximum(rates, _FEW) / max(rate, _FEW)) / _ALIKE
            near = np.exp2(-np.square(apart)) + _ANY
            found[one.name] *= max(float(near @ taken), 1.0) / max(float(near @ expected), 1.0)
        return found


def _nothing(how: Recursion) -> _Account:
    """Return the account of no weights."""
    return _Account(np.zeros((MAX_CLASSES, 2 if how.nu else 1, SIZES), np.int64), np.zeros(MAX_CLASSES, np.int64), 0.0)


def passed(
    network: Network, level: float, budget: float, costs: np.ndarray, how: Recursion, tick: Tick,
    ratios: Mapping[str, float],
) -> Calibrated:  # fmt: skip
    """Return the network quantized; what its journal knows of this pass is not done again.

    Args:
        network: ready.
        level: the water level of the outputs to begin with.
        budget: bits that all integers may take, with their scales and steps.
        costs: bits of each |v| in each class, float32, shape (128, 1024).
        how: the recursion.
        tick: told of the progress.
        ratios: what weights took in an earlier pass beside what was expected of them; 1 where nothing is known.
    """
    params, rounded = network.started, dict[str, Rounded]()
    account = _nothing(how)
    now, found, levels = level, dict[str, float](), dict[str, float]()
    records = network.journal and network.journal.records(level, budget, costs, how, ratios)
    known = records.read([subject.name for subject in network.subjects]) if records else []
    with nullcontext() if len(known) == len(network.subjects) else network.following() as follower:
        _begin(network, follower)
        for done, subject in enumerate(network.subjects):
            interrupts.check()
            tick("weights", done, len(network.subjects))
            rest, ratio = network.subjects[done + 1 :], ratios.get(subject.name, 1.0)
            if follower is None or done < len(known):
                one = known[done]
            else:
                one = quantized(network, subject, params, follower, now, costs, how)
                after = account.after(one, subject.bits(now) * ratio)
                again = _again(account, after, subject, rest, ratios, budget, level, now)
                if again is not None:
                    one = quantized(network, subject, params, follower, again, costs, how)
                if records:
                    records.write(done, subject.name, one)
            for name, tensor in one.changed.items():
                params[name] = tensor.to(network.params[name].device)
                if follower is not None:
                    follower.put(name, params[name])
            rounded[subject.name] = one.rounded
            scales = subject.bits(one.level)
            account = account.after(one, scales * ratio)
            found[subject.name] = max(account.each[-1][-1] / max(scales, 1.0), _FALLEN)
            now = levels[subject.name] = one.level
            if rest:
                now = _level(rest, account.ratios(rest, now, ratios), budget - account.spent, level)
    return Calibrated(rounded, params, account.counts, now, found, account.spent, levels, costs)


def again(network: Network, before: Calibrated, how: Recursion, first: int, tick: Tick) -> Calibrated:
    """Return a pass once more, at the same levels and code lengths, in which weights are quantized otherwise.

    Args:
        network: ready.
        before: the pass.
        how: the recursion of the weights from the ``first`` on; its trellis is that of the pass.
        first: place of a weight; those before it stay as they are.
        tick: told of the progress.
    """
    params, rounded, account = network.started, dict[str, Rounded](), _nothing(how)
    with network.following() as follower:
        _begin(network, follower)
        for done, subject in enumerate(network.subjects):
            interrupts.check()
            tick("weights", done, len(network.subjects))
            if done < first:
                one = before.chosen(subject, how.nu)
            else:
                level = before.levels[subject.name]
                one = quantized(network, subject, params, follower, level, before.costs, how)
            for name, tensor in one.changed.items():
                params[name] = tensor.to(network.params[name].device)
                follower.put(name, params[name])
            rounded[subject.name], account = one.rounded, account.after(one, 1.0)
    return replace(before, rounded=rounded, params=params, counts=account.counts, bits=account.spent)


def _begin(network: Network, follower: Follower | None) -> None:
    """Let what follows meet the tensors that have their codes already."""
    if follower is not None:
        for one in network.given.values():
            for name, tensor in one.changed.items():
                follower.put(name, tensor)


def _again(
    before: _Account, after: _Account, subject: Subject, rest: Sequence[Subject], ratios: Mapping[str, float],
    budget: float, near: float, level: float,
) -> float | None:  # fmt: skip
    """Return the level at which a weight is to be quantized once more, now that it is known what it takes; or None.

    Args:
        before: the account without the weight.
        after: with it.
        subject: the weight.
        rest: those after it.
        ratios: of `passed`.
        budget: likewise.
        near: the level of the pass.
        level: the weight was quantized at.
    """
    own = after.ratios(rest, level, ratios)
    left = budget - after.spent
    later = _level(rest, own, left, near)
    expected = sum(one.bits(later) * own[one.name] for one in rest)
    if expected > _LATE * budget or abs(left - expected) <= _OFF * budget:
        return None
    own[subject.name] = (after.spent - before.spent) / max(subject.bits(level), 1.0)
    again = _level([subject, *rest], own, budget - before.spent, near, 2 * _HELD)
    return None if math.isclose(again, level, rel_tol=0.01) else again


def quantized(
    network: Network, subject: Subject, params: Params, follower: Follower, level: float, costs: np.ndarray,
    how: Recursion,
) -> Chosen:  # fmt: skip
    """Return what is decided of a weight.

    Args:
        network: ready.
        subject: the weight.
        params: the network as far as it is compressed.
        follower: what the weight meets.
        level: the water level of the outputs.
        costs: bits of each |v| in each class, float32, shape (128, 1024).
        how: the recursion.
    """
    original = network.params[subject.name]
    weights, experts = matrix(original, subject.form), len(original) if subject.form == "packed" else 1
    if subject.met:
        met = follower.statistics(subject.name, biased=subject.bias is not None)
    else:
        met = alone(network.params[subject.name])
    trim()  # what both networks have freed on their way: matrices come now
    how = suited(how, len(weights), met=subject.met, form=subject.form, embeds=subject.embeds)
    try:
        own = level / subject.worth
        ready = prepared(
            weights, met.moments, own, how, cross=met.cross, rows=subject.rows, spoiled=True,
            form=subject.form, experts=experts,
        )  # fmt: skip
    except LaconicError as failure:
        raise type(failure)(f"{subject.name}: {failure}") from failure
    levels = ready.layer.quantized(costs, how.nu, how.price * SLOPE, how.window)
    rounded = ready.rounded(levels)
    compressed = rounded.weights()
    changed = {subject.name: to_torch(compressed).to(network.params[subject.name].device)}
    if subject.bias is not None:
        before = params[subject.bias]
        shift = torch.from_numpy(met.shift(weights, matrix(changed[subject.name], subject.form)))
        changed[subject.bias] = (before.double() + shift.to(before.device)).to(before.dtype)
    return Chosen(rounded, ready.layer.counts(levels, how.nu, MAX_CLASSES), changed, level)


def bits_of(counts: np.ndarray, costs: np.ndarray) -> float:
    """Return what integers that occur so often cost by code lengths."""
    parities = counts.shape[1]
    magnitudes = np.stack([np.minimum((centre_of(np.arange(128)) // 2) * parities + p, 1023) for p in range(parities)])
    return float(sum((counts[:, p] * costs[:, magnitudes[p]]).sum() for p in range(parities)))


def _level(
    rest: Sequence[Subject], ratios: Mapping[str, float], bits: float, near: float, held: float = _HELD
) -> float:  # fmt: skip
    """Return the level, not far from ``near``, at which the weights that are left take so many bits."""
    return level_of(rest, ratios, bits, math.log2(near) - held, math.log2(near) + held)


def level_of(
    subjects: Sequence[Subject], ratios: Mapping[str, float], bits: float, low: float = -200.0, high: float = 200.0
) -> float:
    """Return the water level between 2^low and 2^high at which weights take so many bits, about."""
    for _ in range(60):
        middle = (low + high) / 2
        if sum(subject.bits(2.0**middle) * ratios.get(subject.name, 1.0) for subject in subjects) > bits:
            low = middle
        else:
            high = middle
    return float(2.0**high)
