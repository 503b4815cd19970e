"""What a choice stands on: the weights alone, or inputs; candidates, what they damage, and files of whole networks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.calibrate.told import Told
from laconic.choose.menu import AS_IS, GRID, Offer
from laconic.csteps.compression import Compression
from laconic.csteps.joint import project
from laconic.errors import UnsupportedMetric
from laconic.format.codes import Code, GridCode
from laconic.models.params import Params, to_torch
from laconic.quantize.budget import Fitted
from laconic.quantize.budget.signal import Signal
from laconic.theory.metric import Diagonal, Kronecker, Metric, Metrics, importances_of

Tick = Callable[[str, int, int], None]
"""Told of a stage, of what is done and of all."""


@final
@dataclass(frozen=True, eq=False)
class Candidate:
    """A compression of one tensor.

    Args:
        name: of the tensor.
        offer: what it is; None for the grid of the budget, or, where no bytes count, for the tensor as it is.
        code: of the tensor; of a grid as it is by itself.
        bytes: that it adds to a file, about.
        costs: of each limit, in its unit.
        error: what errors in the weights come to, by what is known of their importance, in the unit of damages.
        damage: measured at the outputs; None where it has not been.
    """

    name: str
    offer: Offer | None
    code: Code
    bytes: float
    costs: tuple[float, ...]
    error: float
    damage: float | None = None

    @property
    def technique(self) -> str:
        """Name of the technique."""
        if self.offer is not None:
            return self.offer.technique
        return GRID if isinstance(self.code, GridCode) else AS_IS

    @property
    def lost(self) -> float:
        """What it damages, as far as that is known."""
        return self.error if self.damage is None else self.damage

    def measured(self, damage: float) -> "Candidate":
        """Return the same with what it damages at the outputs."""
        return replace(self, damage=damage)


@final
@dataclass(frozen=True, eq=False)
class File:
    """A whole network as a file.

    Args:
        codes: of all tensors, by every name of the file.
        file_bytes: of the file.
        distance: of the network from the original; what is least.
        signals: what is left of each tensor.
        apart: the distance of each sample that judges, shape (samples,); None where no samples do.
        fitted: how the budget was met, where bytes were asked.
        told: what calibration has come to, if it was one.
    """

    codes: Mapping[str, Code]
    file_bytes: int
    distance: float
    signals: Mapping[str, Signal]
    apart: np.ndarray | None = None
    fitted: Fitted | None = None
    told: Told | None = None


class Ground(ABC):
    """A network of which candidates are judged; tensors go by one name each."""

    @property
    @abstractmethod
    def weights(self) -> Params:
        """The tensors that are chosen for."""

    @property
    @abstractmethod
    def metrics(self) -> Metrics:
        """What errors in them cost; what is missing has the unit metric."""

    @property
    @abstractmethod
    def unit(self) -> float:
        """What a damage of 1 is in units of the metrics."""

    @property
    @abstractmethod
    def measures(self) -> str:
        """What a damage is, in words."""

    @abstractmethod
    def grids(self, bits: float) -> dict[str, tuple[Code, float, float | None]]:
        """Return each tensor on a grid that takes so many bits a weight in all: its code, bytes, measured damage."""

    @abstractmethod
    def damage(self, name: str, code: Code) -> float | None:
        """Return what a tensor's code does to the outputs where all else stays; None where there are none."""

    @abstractmethod
    def file(self, given: Mapping[str, tuple[Compression, Code]], *, thorough: bool, tick: Tick) -> File:
        """Return the file of a network in which some tensors have rows, and all others share what is left.

        Args:
            given: row and code of each of these.
            thorough: whether it is to be as good as can be, or may be quick.
            tick: told of the progress.

        Raises:
            PlanError: when the others do not fit. Where none are left the file may be of any size.
        """

    @abstractmethod
    def others(self) -> Mapping[str, Code]:
        """Return the codes of all tensors that are not chosen for."""

    @abstractmethod
    def shown(self, name: str) -> str:
        """Return the name that the file has for a tensor."""

    def error(self, name: str, code: Code) -> float:
        """Return what a code's errors come to under the metric, in the unit of damages."""
        weight = self.weights[name]
        metric = self.metrics.get(name)
        after = to_torch(code.decompress())
        if metric is None:
            return float((weight.cpu().double() - after.double()).square().sum()) / self.unit
        return metric.error(weight.cpu(), after) / self.unit

    def coded(self, name: str, row: Compression) -> Code:
        """Return the code of a tensor by a row; errors are those of its projection."""
        return projected(row, {name: self.weights[name].cpu()}, self.metrics)[name]


def projected(row: Compression, weights: Params, metrics: Metrics) -> dict[str, Code]:
    """Project under the metrics as far as a compression honours them: whole, by their diagonals, or not at all."""
    own = {name: metrics[name] for name in weights if name in metrics}
    tries: list[Metrics] = [own, diagonals(own, weights), {}] if own else [{}]
    for metrics_tried in tries[:-1]:
        try:
            return project(row, weights, metrics_tried)
        except UnsupportedMetric:
            continue
    return project(row, weights, tries[-1])


def diagonals(metrics: Metrics, weights: Params) -> dict[str, Metric]:
    """Return diagonal metrics in place of Kronecker ones."""
    found = dict[str, Metric]()
    for name, metric in metrics.items():
        h = importances_of(metrics, name, weights[name]) if isinstance(metric, Kronecker) else None
        found[name] = metric if h is None else Diagonal(h)
    return found
