"""Candidates judged by the weights alone: by their squared errors under an importance, if there is one."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.choose.ground import File, Ground, Tick
from laconic.csteps.compression import Compression
from laconic.csteps.lossless import Lossless
from laconic.csteps.uniform_grid import UniformGrid
from laconic.format import container
from laconic.format.codes import Code, GridCode
from laconic.format.compact import compact
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.baselines import direct
from laconic.lc.budgeted import within
from laconic.models.params import is_float, to_numpy
from laconic.models.ties import Untied
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.quantize.budget import QUALITIES, Budget, Fitted, survey
from laconic.quantize.budget.signal import signals, total
from laconic.theory.metric import Metrics, Unit
from laconic.theory.rate_distortion import water_filling_rate

_LEAST = 1e-3  # of the largest root of an importance: no step is coarser by more


@final
@dataclass(frozen=True, eq=False)
class ByWeights(Ground):
    """See `Ground`.

    Args:
        network: each tensor once.
        plan: what some tensors get; these are not chosen for.
        budget: of the file; None where no bytes are asked.
        weighed: importances by name.
        quality: of `QUALITIES`, for files that are to be as good as can be.
        metadata: text of the file, with the size of the uncompressed one.
        buffers: names that are a module's buffers.
        threads: tensors that are worked on at a time.
    """

    network: Untied
    plan: Plan
    budget: Budget | None
    weighed: Metrics
    quality: str
    metadata: Mapping[str, str]
    buffers: Collection[str] = ()
    threads: int | None = None

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights that no row names."""
        rows = self.plan.resolve(self.network.params, self.network.names)[len(self.plan.tensors) :]
        off = self.network.only(self.buffers)
        named = [name for row in rows if isinstance(row.compression, Lossless) for name in row.names if name not in off]
        found = {name: self.network.params[name] for name in named if is_float(self.network.params[name])}
        return {name: tensor for name, tensor in found.items() if survey(name, to_numpy(tensor), "free").is_quantized}

    @property
    def metrics(self) -> Metrics:
        """The importances."""
        return self.weighed

    @cached_property
    def unit(self) -> float:
        """The weights' own energy under the metrics: a damage of 1 is to lose all."""
        whole = sum(
            self.metrics.get(name, Unit()).error(tensor.cpu(), 0 * tensor.cpu())
            for name, tensor in self.weights.items()
        )
        return whole or 1.0

    @property
    def measures(self) -> str:
        """What is least."""
        return f"{'weighted ' if self.metrics else ''}squared error of the weights, as a share of their energy"

    def grids(self, bits: float) -> dict[str, tuple[Code, float, float | None]]:
        """Return each weight on a grid of one step, but for the square roots of the mean importances."""
        found = dict[str, tuple[Code, float, float | None]]()
        numbers = sum(weight.numel() for weight in self.weights.values())
        step = self._step(bits * numbers)
        for name in self.weights:
            code = self.coded(name, UniformGrid(step=step / self._finer[name], rate=0.6, states=8, scales=True))
            assert isinstance(code, GridCode), "that is what a grid gives"
            found[name] = code, code.index_bits / 8, None
        return found

    def damage(self, name: str, code: Code) -> None:
        """Return nothing: there are no outputs."""
        return

    def file(self, given: Mapping[str, tuple[Compression, Code]], *, thorough: bool, tick: Tick) -> File:
        """Return a file of direct compression."""
        tools = QUALITIES[self.quality if thorough else "fast"]
        if self.budget is not None and len(given) < len(self.weights):
            rows = {fnmatch_escape(name): row for name, (row, _) in given.items()}
            plan = replace(self.plan, tensors={**self.plan.tensors, **rows})
            reference = int(self.metadata[REFERENCE_BYTES])
            tick("file", 0, 1)
            within_budget = within(
                self.network, self.budget, plan, tools, self.metadata, buffers=self.buffers,
                metrics=self.metrics or None, reference_bytes=reference, threads=self.threads,
            )  # fmt: skip
            codes, size, kept = within_budget.codes, within_budget.file_bytes, within_budget.signals
            return File(codes, size, self._distance(codes), kept, fitted=within_budget)
        codes = self._codes({name: code for name, (_, code) in given.items()})
        size = container.bits(codes, self.metadata) // 8
        arrays = {name: to_numpy(self.network.params[name]) for name in self.weights}
        kept = signals(arrays, {name: codes[name] for name in arrays})
        count, snr = self._count, total(kept.values())
        fitted = self.budget and Fitted(codes, self.budget, size, snr, 0.0, 0, (), count, kept)
        return File(codes, size, self._distance(codes), kept, fitted=fitted)

    def others(self) -> dict[str, Code]:
        """Return the codes of the plan's rows, and all else as it is."""
        codes = self._codes({})
        return {name: codes[name] for name in self.network.params if name not in self.weights}

    def shown(self, name: str) -> str:
        """Return the name itself."""
        return name

    def _codes(self, given: Mapping[str, Code]) -> dict[str, Code]:
        """Return the codes of all tensors by all their names: these, and those of the plan."""
        params, names = self.network.params, self.network.names
        rest = {name: tensor for name, tensor in params.items() if name not in given}
        others = Untied(rest, {name: first for name, first in names.items() if first in rest})
        plan, others = self.plan.settled(others, self.metrics, alike=False)
        own = {name: code for group in direct(others.params, plan, self.metrics) for name, code in group.items()}
        codes = {**compact(own), **given}  # told otherwise, what is pruned would cost what it costs whole
        return self.network.named({name: codes[name] for name in params})

    @cached_property
    def size(self) -> int | None:
        """Bytes that the file may have."""
        return self.budget and self.budget.bytes(self._count, int(self.metadata[REFERENCE_BYTES]))

    @cached_property
    def _count(self) -> int:
        """How many weights bits are counted for."""
        off, params = self.network.only(self.buffers), self.network.params
        return sum(
            survey(name, to_numpy(tensor), "buffer" if name in off else "settled").weights
            for name, tensor in params.items()
        )

    @cached_property
    def _finer(self) -> dict[str, float]:
        """Of each weight the square root of its mean importance, beside that of the largest."""
        means = dict[str, float]()
        for name, weight in self.weights.items():
            nothing = torch.zeros(weight.shape)
            whole = self.metrics.get(name, Unit()).error(nothing + 1, nothing)
            means[name] = math.sqrt(max(whole, 0.0) / max(weight.numel(), 1))
        most = max(means.values(), default=0.0) or 1.0
        return {name: max(mean / most, _LEAST) for name, mean in means.items()}

    def _step(self, bits: float) -> float:
        """Return the step of the most important weight at which all take so many bits, if they were Gaussians."""
        powers = [float(w.double().square().mean()) * self._finer[name] ** 2 for name, w in self.weights.items()]
        filled = water_filling_rate(np.array(powers), np.array([w.numel() for w in self.weights.values()]), bits)
        return math.sqrt(12 * filled.level) / 2 or 1.0  # cells of a trellis are half as wide

    def _distance(self, codes: Mapping[str, Code]) -> float:
        """Return the share of the weights' energy that is lost."""
        return sum(self.error(name, codes[name]) for name in self.weights)
