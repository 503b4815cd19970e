"""Which weights matter: what each takes and costs at one water level, in theory and by itself in the network."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic import interrupts
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.forms import matrix
from laconic.calibrate.frontier import spectra
from laconic.calibrate.network import Tick, silent
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.sequence import bits_of, level_of, quantized
from laconic.format.coding.fitting import smoothed_costs
from laconic.models.params import Params
from laconic.theory.rate_distortion import Sources

_WHOLE = 4.0  # times the largest weight is a step at which all are 0


@final
@dataclass(frozen=True)
class Weight:
    """What there is to say of a weight.

    Args:
        name: of the weight, as the file has it.
        count: of its numbers.
        bytes: that its integers take.
        worth: what a squared error of what it writes adds to the distance of the outputs.
        predicted: what it adds to that distance at the water level: Σ_k n_k min(λ_k, θ).
        measured: the distance with this weight alone compressed, on samples that are held out.
        share: of the sum of what is measured.
        step: of a uniform grid whose error is θ a weight, without feedback; None for weights that are all 0.
    """

    name: str
    count: int
    bytes: float
    worth: float
    predicted: float
    measured: float
    share: float
    step: float | None


def analysed(ready: Ready, bits: float, tick: Tick = silent) -> tuple[float, list[Weight]]:
    """Return the water level at which integers take so many bits a weight, and the weights, the worst first.

    Each weight is compressed by itself, with the bias that follows it; no other makes its errors good.

    Args:
        ready: the network, with spectra.
        bits: a weight.
        tick: told of the progress.

    Raises:
        DataError, WeightsError: as the layers of a file.
    """
    network, sources, how, unit = ready.network, spectra(ready), TRIES["default"][0], ready.outputs.unit
    level, costs = level_of(network.subjects, {}, bits * ready.weights), smoothed_costs(expected_counts(how.nu))
    taken, changed = dict[str, float](), dict[str, Params]()
    with network.following(drift=False) as follower:
        for done, subject in enumerate(network.subjects):
            interrupts.check()
            tick("weights", done, 2 * len(network.subjects))
            one = quantized(network, subject, network.params, follower, level, costs, how)
            changed[subject.name] = one.changed
            taken[subject.name] = bits_of(one.counts, costs) / 8
    measured, names = dict[str, float](), {first: name for name, first in reversed(list(ready.names.items()))}
    for name, own in changed.items():
        tick("weights", len(changed) + len(measured), 2 * len(changed))
        measured[name] = ready.outputs.distance({**network.params, **own})
    total = sum(measured.values())
    weights = [
        Weight(
            names[subject.name], network.params[subject.name].numel(), taken[subject.name],
            subject.mean_worth / unit,
            subject.rows.measured * predicted(sources[subject.name], level) / unit, measured[subject.name],
            measured[subject.name] / total if total > 0 else 0.0,
            step(matrix(network.params[subject.name], subject.form), sources[subject.name], level),
        )
        for subject in network.subjects
    ]  # fmt: skip
    return level, sorted(weights, key=lambda one: -one.measured)


def predicted(sources: Sources, level: float) -> float:
    """Return Σ n min(λ, θ): the error of Gaussians at a water level.

    >>> predicted(Sources(np.array([4.0, 0.5]), np.array([2.0, 3.0])), 1.0)
    3.5
    """
    return float(np.dot(sources.counts, np.minimum(sources.variances, level)))


def step(weights: np.ndarray, sources: Sources, level: float) -> float | None:
    """Return the step Δ at which Δ²/12 of each weight, by what the outputs make of it, is the water level.

    At most four times the largest weight, for all are 0 there; None where they are 0 anyway.

    >>> round(step(np.ones((2, 2)), Sources(np.array([3.0, 3.0]), np.array([2.0, 2.0])), 1.0), 6)
    2.0
    """
    largest = float(np.abs(weights).max(initial=0.0))
    if largest == 0:
        return None
    numbers = float(sources.counts.sum())
    each = (
        float(np.dot(sources.counts, sources.variances)) / numbers / float(np.square(weights, dtype=np.float64).mean())
    )
    return min(math.sqrt(12 * level / each), _WHOLE * largest) if each > 0 else _WHOLE * largest
