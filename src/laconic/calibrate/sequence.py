"""All weights of a network, one after the other: each for what it meets once those before it are compressed.

The water level follows the bits: what weights have taken so far, beside what was expected of them, says what the level
of the others must be for all to take what is asked.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.journal import Chosen
from laconic.calibrate.network import Network, Subject, Tick, alone
from laconic.calibrate.rates import suited
from laconic.calibrate.rounded import Rounded
from laconic.calibrate.sequential import SLOPE, Recursion, prepared
from laconic.calibrate.statistics import Follower
from laconic.errors import LaconicError
from laconic.format.coding.levels import centre_of
from laconic.format.coding.model import MAX_CLASSES
from laconic.models.params import Params, to_numpy, to_torch

_HELD = 0.5
"""The level moves by no more than so many powers of 2 on the way."""

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
        bits: of the integers by the tables that they were chosen with.
    """

    rounded: dict[str, Rounded]
    params: dict[str, Tensor]
    counts: np.ndarray
    level: float
    ratios: Mapping[str, float]
    bits: float


def passed(
    network: Network, level: float, budget: float, costs: np.ndarray, how: Recursion, tick: Tick,
    ratios: Mapping[str, float],
) -> Calibrated:  # fmt: skip
    """Return the network quantized; what its journal knows of this pass is not done again.

    Args:
        network: ready.
        level: the water level of the outputs to begin with.
        budget: bits that all integers may take.
        costs: bits of each |v| in each class, float32, shape (128, 1024).
        how: the recursion.
        tick: told of the progress.
        ratios: what weights took in an earlier pass beside what was expected of them; 1 where nothing is known.
    """
    params, rounded = dict(network.params), dict[str, Rounded]()
    counts = np.zeros((MAX_CLASSES, 2 if how.nu else 1, 128), np.int64)
    spent, planned, now, found = 0.0, 0.0, level, dict[str, float]()
    records = network.journal and network.journal.records(level, budget, costs, how, ratios)
    known = records.read([subject.name for subject in network.subjects]) if records else []
    with nullcontext() if len(known) == len(network.subjects) else network.following() as follower:
        for done, subject in enumerate(network.subjects):
            interrupts.check()
            tick("weights", done, len(network.subjects))
            if follower is None or done < len(known):
                one = known[done]
            else:
                one = quantized(network, subject, params, follower, now, costs, how)
                if records:
                    records.write(done, subject.name, one)
            for name, tensor in one.changed.items():
                params[name] = tensor.to(network.params[name].device)
                if follower is not None:
                    follower.put(name, params[name])
            rounded[subject.name] = one.rounded
            counts += one.counts
            taken, scales = bits_of(one.counts, costs), subject.bits(now)
            found[subject.name] = max(taken / max(scales, 1.0), _FALLEN)
            spent, planned = spent + taken, planned + scales * ratios.get(subject.name, 1.0)
            now = _level(network.subjects[done + 1 :], ratios, (budget - spent) * planned / max(spent, 1.0), level)
    return Calibrated(rounded, params, counts, now, found, spent)


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
    weights = to_numpy(network.params[subject.name])
    if subject.met:
        met = follower.statistics(subject.name, biased=subject.bias is not None)
    else:
        met = alone(network.params[subject.name])
    how = suited(how, len(weights), met=subject.met)
    try:
        ready = prepared(weights, met.moments, level / subject.worth, how, cross=met.cross, finer=subject.finer)
    except LaconicError as failure:
        raise type(failure)(f"{subject.name}: {failure}") from failure
    levels = ready.layer.quantized(costs, how.nu, how.price * SLOPE, how.window)
    rounded = ready.rounded(levels)
    compressed = rounded.weights()
    changed = {subject.name: to_torch(compressed).to(network.params[subject.name].device)}
    if subject.bias is not None:
        before = params[subject.bias]
        shift = torch.from_numpy(met.shift(weights, compressed))
        changed[subject.bias] = (before.double() + shift.to(before.device)).to(before.dtype)
    return Chosen(rounded, ready.layer.counts(levels, how.nu, MAX_CLASSES), changed)


def bits_of(counts: np.ndarray, costs: np.ndarray) -> float:
    """Return what integers that occur so often cost by code lengths."""
    parities = counts.shape[1]
    magnitudes = np.stack([np.minimum((centre_of(np.arange(128)) // 2) * parities + p, 1023) for p in range(parities)])
    return float(sum((counts[:, p] * costs[:, magnitudes[p]]).sum() for p in range(parities)))


def _level(rest: Sequence[Subject], ratios: Mapping[str, float], bits: float, near: float) -> float:
    """Return the level, not far from ``near``, at which the weights that are left take so many bits."""
    low, high = math.log2(near) - _HELD, math.log2(near) + _HELD
    return level_of(rest, ratios, bits, low, high)


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
