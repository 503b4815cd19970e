"""Candidates judged by what layers read: fitted under it, and measured at the outputs on samples that are held out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import final

from torch import Tensor

from laconic import interrupts
from laconic.calibrate.budgeted import around, expected
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.giving import Reading, giving
from laconic.calibrate.network import Given
from laconic.calibrate.outputs import Outputs
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.sequence import bits_of, level_of, quantized
from laconic.calibrate.sequential import modelled
from laconic.calibrate.trial import Trial
from laconic.choose.ground import File, Ground, Tick
from laconic.csteps.compression import Compression
from laconic.format.codes import Code
from laconic.format.codes.grid import Grid
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.lossless import lossless
from laconic.models.params import decompress, to_numpy
from laconic.quantize.budget import Budget, Fitted
from laconic.quantize.budget.signal import total
from laconic.theory.metric import Metric

_ANY = 1 << 62
"""Bytes, where none are asked."""

_MOST = 16
"""Bits of a weight on the grid: few of these, beside others with rows, cannot use all that is left."""

_PASSES, _SHORT = 4, 0.02
"""Of a file that may be quick: passes at most, and the share of the size that may be left."""


@final
@dataclass(frozen=True, eq=False)
class ByInputs(Ground):
    """See `Ground`.

    Args:
        ready: the network; it may have tensors with codes already.
        readings: of its weights.
        size: bytes of the file; None where none are asked.
        budget: as it was asked, for what is told; None likewise.
        quality: of `TRIES`, for files that are to be as good as can be.
        metadata: text of the file.
        tune: whether vectors are tuned in such files.
    """

    ready: Ready
    readings: Mapping[str, Reading]
    size: int | None
    budget: Budget | None
    quality: str
    metadata: Mapping[str, str]
    tune: bool = True

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights that are quantized."""
        return {name: self.ready.network.params[name] for name in self.readings}

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """By what is read, and what the outputs make of errors."""
        return {name: reading.metric for name, reading in self.readings.items()}

    @property
    def unit(self) -> float:
        """See `Outputs.unit`."""
        return self.ready.outputs.unit

    @property
    def measures(self) -> str:
        """What is least."""
        kind = self.ready.outputs.kind
        what = "KL(original ‖ compressed), nats" if kind == "classification" else "squared distance over the variance"
        return f"{what}, on {self.ready.outputs.samples:,} samples held out"

    def grids(self, bits: float) -> dict[str, tuple[Code, float, float | None]]:
        """Return each weight at one water level, by itself."""
        network, how, found = self.ready.network, TRIES["default"][0], dict[str, tuple[Code, float, float | None]]()
        level = level_of(network.subjects, {}, bits * sum(weight.numel() for weight in self.weights.values()))
        costs, start = smoothed_costs(expected_counts(how.nu)), network.started
        with network.following(drift=False) as follower:
            for subject in network.subjects:
                interrupts.check()
                one = quantized(network, subject, start, follower, level, costs, how)
                code = one.rounded.code(Grid.of(1.0, modelled(one.counts, how.nu), one.rounded.symbols))
                found[subject.name] = (
                    code,
                    bits_of(one.counts, costs) / 8,
                    self._outputs.distance({**start, **one.changed}),
                )
        return found

    def damage(self, name: str, code: Code) -> float:
        """Return how far outputs are with this code, and a bias that takes up its errors in the mean."""
        changed = self.readings[name].given(self.ready.network.params, code).changed
        return self._outputs.distance({**self.ready.network.started, **changed})

    def file(self, given: Mapping[str, tuple[Compression, Code]], *, thorough: bool, tick: Tick) -> File:
        """Return a calibrated file."""
        codes = {name: self._given(name, code) for name, (_, code) in given.items()}
        ready = giving(self.ready, codes)
        quality, tune = (self.quality, self.tune) if thorough else ("fast", False)
        free, size = sum(ready.network.params[one.name].numel() for one in ready.network.subjects), _ANY
        if self.size is not None and free:
            least = expected(ready.files(self.metadata), math.inf)
            size = min(self.size, least + _MOST * free // 8)
        made = None if thorough or not ready.network.subjects else self._quick(ready, size, tick)
        trial, passes = made or ready.within(size, TRIES[quality], self.metadata, tick, tune=tune and quality != "fast")
        told, signals = ready.told(trial, passes), ready.signals(trial)
        snr, of = total(signals.values()), (ready.kept, ready.weights, signals)
        fitted = self.budget and Fitted(trial.codes, self.budget, trial.file_bytes, snr, 0.0, passes, *of)
        decoded = decompress({first: trial.codes[name] for name, first in ready.names.items()})
        params = {name: tensor.to(ready.network.params[name].device) for name, tensor in decoded.items()}
        apart = ready.outputs.distances(params).numpy()
        return File(trial.codes, trial.file_bytes, trial.distance, signals, apart, fitted, told)

    def _quick(self, ready: Ready, size: int, tick: Tick) -> tuple[Trial, int] | None:
        """Return the first pass whose file is not far below the size, of a few; or None."""
        files = around(ready.files(self.metadata), size, TRIES["fast"], tick)
        for number, trial in enumerate(islice(files, _PASSES), 1):
            if trial.is_near(size, _SHORT):
                return trial, number
        return None

    def others(self) -> dict[str, Code]:
        """Return the codes that are given, and all else as it is."""
        network = self.ready.network
        rest = {n: lossless(to_numpy(t)) for n, t in network.params.items() if n not in self.weights}
        return {**rest, **{name: one.code for name, one in network.given.items()}}

    def shown(self, name: str) -> str:
        """Return the first name that the file has."""
        return next(own for own, first in self.ready.names.items() if first == name)

    @cached_property
    def _outputs(self) -> Outputs:
        """What the original says of all samples, seen or not: a few say too little of one tensor."""
        calibration = self.ready.network.calibration
        seen = calibration.seen if calibration.seen[0] is not calibration.unseen[0] else ()
        return Outputs.of(calibration, self.ready.network.params, (*seen, *calibration.unseen))

    def _given(self, name: str, code: Code) -> Given:
        return self.readings[name].given(self.ready.network.params, code)
