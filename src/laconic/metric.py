"""Quadratic forms on weights: which error matters.

The golden rule of rate-distortion theory (Gao et al. 2019, section 3) is to minimise `(w − ŵ)ᵀ I_w (w − ŵ)`: the
metric of a tensor is its block of `I_w`. A metric belongs to one tensor; algorithms take them by name, and a tensor
without one has the unit metric.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from laconic.errors import UnsupportedMetric, WeightsError


class Metric(ABC):
    """How far apart two values of one tensor are."""

    @abstractmethod
    def error(self, weights: Tensor, compressed: Tensor) -> float:
        """Return the distortion of ``compressed`` against ``weights``, both of the tensor's shape, in float64."""


@final
@dataclass(frozen=True)
class Unit(Metric):
    """The squared error `Σ (w_i − ŵ_i)²`."""

    def error(self, weights: Tensor, compressed: Tensor) -> float:
        """Return the sum of squares of the difference."""
        assert weights.shape == compressed.shape, "broadcasting would hide a wrong shape"
        return float((weights.double() - compressed.double()).square().sum())


@final
@dataclass(frozen=True, eq=False)
class Diagonal(Metric):
    """The weighted squared error `Σ h_i (w_i − ŵ_i)²`.

    Args:
        importance: h, of the tensor's shape; not negative.

    Raises:
        WeightsError: when an importance is negative, NaN or infinite.
    """

    importance: Tensor

    def __post_init__(self) -> None:
        if not bool((torch.isfinite(self.importance) & (self.importance >= 0)).all()):
            raise WeightsError("importances must be finite and not negative")

    def error(self, weights: Tensor, compressed: Tensor) -> float:
        """Return the weighted sum of squares of the difference."""
        assert weights.shape == compressed.shape == self.importance.shape, "broadcasting would hide a wrong shape"
        return float((self.importance.double() * (weights.double() - compressed.double()).square()).sum())


Metrics = Mapping[str, Metric]
"""Metrics by the name of the tensor; a name that is missing has the unit metric."""


def diagonal_of(metrics: Metrics, name: str, weights: Tensor) -> Tensor | None:
    """Return the importances of tensor ``name``, or None for the unit metric.

    Raises:
        UnsupportedMetric: when the metric is neither unit nor diagonal.
        WeightsError: when the importances are not of the tensor's shape.
    """
    metric = metrics.get(name, Unit())
    if isinstance(metric, Unit):
        return None
    if not isinstance(metric, Diagonal):
        raise UnsupportedMetric(
            f"{name}: this compression takes a unit or diagonal metric, not {type(metric).__name__}"
        )
    if metric.importance.shape != weights.shape:
        raise WeightsError(
            f"{name}: importances of shape {tuple(metric.importance.shape)}, weights {tuple(weights.shape)}"
        )
    return metric.importance
