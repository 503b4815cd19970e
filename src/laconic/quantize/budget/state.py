"""Where the search for the step stands: frozen values, of which every step of the search makes new ones."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import final

from laconic.format.codes import Code
from laconic.quantize.budget.budget import Fitted
from laconic.quantize.budget.goal import Goal
from laconic.quantize.budget.network import Network
from laconic.quantize.budget.signal import Signal, decibels
from laconic.quantize.budget.tuning import Tuning
from laconic.quantize.lattice import Assignment, Quantized, Quantizer
from laconic.quantize.lattice.workers import Workers


@final
@dataclass(frozen=True, eq=False)
class File:
    """What a trial on all weights is in a file.

    Args:
        codes: of all tensors, in their order.
        file_bytes: of the file.
        signals: what is left of each tensor; none where a size is asked and nobody has looked.
    """

    codes: Mapping[str, Code]
    file_bytes: int
    signals: Mapping[str, Signal]

    @property
    def lost(self) -> float:
        """Σ (w − ŵ)², or 0 where nobody has looked."""
        return sum((signal.lost for signal in self.signals.values()), 0.0)


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """What one step came to.

    Args:
        x: log₂ of the step.
        groups: the quantizations.
        file_bytes: of the file, nearly where there is none.
        excess: how far above the budget it is, as `Goal.excess` says.
        file: of all the weights; None for a trial on some.
    """

    x: float
    groups: Sequence[Quantized]
    file_bytes: float
    excess: float
    file: File | None = None

    def hows(self, x: float, *, learning: bool) -> list[Assignment]:
        """Return how integers are chosen at another step, with code lengths that these ask for or those they had."""
        return [group.learned(2.0**x) if learning else replace(group.assignment, step=2.0**x) for group in self.groups]


@final
@dataclass(frozen=True)
class Measure:
    """What trials are measured by.

    Args:
        beside: bytes of the file beside levels and tables.
        rounding: Σ (w − ŵ)² of the file over that before its last rounding.
    """

    beside: float
    rounding: float = 1.0

    def trial(self, goal: Goal, x: float, groups: Sequence[Quantized], file: File | None = None) -> Trial:
        """Return what the groups come to."""
        size = self.beside + sum(group.file_bytes for group in groups)
        lost = self.rounding * sum(group.error for group in groups)
        return Trial(x, groups, size, goal.excess(size, lost), file)


@final
@dataclass(frozen=True, eq=False)
class Search:
    """What stays as it is while the step is searched for.

    Args:
        network: whose weights are quantized.
        goal: what is asked.
        quantizers: one for each set of tables.
        tuning: how steps are chosen.
    """

    network: Network
    goal: Goal
    quantizers: Sequence[Quantizer]
    tuning: Tuning

    @property
    def finer(self) -> dict[str, float]:
        """How many times finer than the network's the step of each tensor is."""
        return {source.name: source.finer for quantizer in self.quantizers for source in quantizer.sources}

    def with_finer(self, finer: Mapping[str, float]) -> "Search":
        """Return the same with other steps for some tensors."""

        def changed(quantizer: Quantizer) -> Quantizer:
            sources = [replace(one, finer=finer.get(one.name, one.finer)) for one in quantizer.sources]
            return replace(quantizer, sources=sources)

        return replace(self, quantizers=[changed(quantizer) for quantizer in self.quantizers])

    @property
    def large(self) -> bool:
        """Whether the first pass may be the last, with the code lengths of a sample."""
        return self.network.weights >= self.tuning.large

    @property
    def groups(self) -> Workers:
        """The threads that take one group after the other; where there is one group, they take its tensors."""
        return self.network.workers if len(self.quantizers) > 1 else Workers(1)

    def held(self, x: float) -> float:
        """Return ``x``, or the least at which integers stay within their 32 bits, or the most: there all are 0."""
        least, most = self.network.least, self.network.most
        return min(max(x, math.log2(least)), math.log2(most)) if least else x

    def passed(self, last_trial: Trial, x: float, *, learning: bool) -> tuple[Trial, Measure]:
        """Return a trial on all the weights with its file, and what others are measured by from now on."""

        def rounded(place: int) -> Quantized:
            return self.quantizers[place].round(last_trial.groups[place].scales, hows[place])

        hows, places = last_trial.hows(x, learning=learning), range(len(self.quantizers))
        sizes = [sum(source.size for source in quantizer.sources) for quantizer in self.quantizers]
        return self.filed(x, list(self.groups.map(rounded, places, sizes)))

    def filed(self, x: float, groups: Sequence[Quantized]) -> tuple[Trial, Measure]:
        """Return a trial of kept integers with its file, and what others are measured by from now on."""
        inner = self.network.workers if len(groups) == 1 else Workers(1)
        sizes = [sum(source.size for source in group.sources) for group in groups]
        by_name = dict(self.network.dense)
        for codes in self.groups.map(partial(Quantized.codes, workers=inner), groups, sizes):
            by_name |= self.network.completed(codes)
        ordered: dict[str, Code] = {name: by_name[name] for name in self.network.tensors}
        size = self.network.file_bytes(ordered)
        file = File(ordered, size, self.network.signals(ordered) if self.goal.size is None else {})
        before = sum(group.error for group in groups)
        beside = size - sum(group.file_bytes for group in groups)
        measure = Measure(beside, file.lost / before if before and file.lost else 1.0)
        if not self.network.kept:
            groups = [replace(group, levels=None) for group in groups]
        return measure.trial(self.goal, x, groups, file), measure

    def fitted(self, trial: Trial, passes: int) -> Fitted | None:
        """Return the result, or None where the file is not within the budget after all."""
        file, network = trial.file, self.network
        assert file is not None, "a trial on all the weights"
        if not self.goal.allows(file.file_bytes, file.lost):
            return None
        file = file if file.signals else replace(file, signals=network.signals(file.codes))
        snr = decibels(network.energy, file.lost + network.lost_apart)
        return Fitted(
            network.named(file.codes), self.goal.budget, file.file_bytes, snr, 2.0**trial.x, passes,
            network.kept_exactly, network.elements, {**network.signals_apart, **file.signals},
        )  # fmt: skip


def settled(network: Network, goal: Goal) -> Fitted:
    """Return the network whose tensors all have their codes: nothing is left to choose."""
    snr = decibels(network.energy, network.lost_apart)
    return Fitted(
        network.named(network.dense), goal.budget, network.dense_bytes, snr, 0.0, 0,
        network.kept_exactly, network.elements, network.signals_apart,
    )  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class State:
    """Where the search stands.

    Args:
        measure: what trials are measured by.
        x: log₂ of the next step.
        last_trial: the last trial, on some of the weights or on all; None before the first.
        slope: of the excess in log₂ step.
        learning: the number of the last pass that learns.
        passes: how many there were.
        seen: steps and excesses, less the aim, of the passes whose code lengths are the same.
        inside: the two best trials within the budget, the nearest last.
        outside: the nearest one beyond it, if any.
        result: the result, once there is one.
    """

    measure: Measure
    x: float
    last_trial: Trial | None = None
    slope: float = math.nan
    learning: int = 0
    passes: int = 0
    seen: tuple[tuple[float, float], ...] = ()
    inside: tuple[Trial, ...] = field(default=())
    outside: tuple[Trial, ...] = field(default=())
    result: Fitted | None = None
