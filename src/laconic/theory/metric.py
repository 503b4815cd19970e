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
        _require_importances(self.importance)

    def error(self, weights: Tensor, compressed: Tensor) -> float:
        """Return the weighted sum of squares of the difference."""
        assert weights.shape == compressed.shape == self.importance.shape, "broadcasting would hide a wrong shape"
        return float((self.importance.double() * (weights.double() - compressed.double()).square()).sum())


@final
@dataclass(frozen=True, eq=False)
class Quartic(Metric):
    """The error of gradient and Hessian together, `Σ g_i (w_i − ŵ_i)² + h_i (w_i − ŵ_i)⁴`.

    With g = E[(∇_i L)²] and h = ¼ E[(∇²_ii L)²] it is the mean squared change of the loss to second order, cross terms
    left out (Gao et al. 2019, Table 1, last row; the square of the Hessian is inside the expectation). Not quadratic:
    for direct compression only.

    Args:
        quadratic: g, of the tensor's shape; not negative.
        quartic: h, of the tensor's shape; not negative; the ¼ is part of it.

    Raises:
        WeightsError: when an entry is negative, NaN or infinite.
    """

    quadratic: Tensor
    quartic: Tensor

    def __post_init__(self) -> None:
        if self.quadratic.shape != self.quartic.shape:
            raise WeightsError(f"the two terms differ in shape: {self.quadratic.shape} and {self.quartic.shape}")
        _require_importances(self.quadratic)
        _require_importances(self.quartic)

    def error(self, weights: Tensor, compressed: Tensor) -> float:
        """Return the weighted sum of squares and fourth powers of the difference."""
        assert weights.shape == compressed.shape == self.quadratic.shape, "broadcasting would hide a wrong shape"
        squares = (weights.double() - compressed.double()).square()
        return float((self.quadratic.double() * squares + self.quartic.double() * squares.square()).sum())


@final
@dataclass(frozen=True, eq=False)
class Kronecker(Metric):
    """The error `tr(G D A Dᵀ)` of D = W − Ŵ, tensors read as matrices of dimension 0 × the rest.

    It is vec(D)ᵀ (G ⊗ A) vec(D) for vec by rows: A the second moments of what a layer reads, G those of the gradient of
    what it writes (Martens & Grosse 2015); G = 1 is the error of the layer's outputs.

    Args:
        outputs: G, symmetric and positive semidefinite, shape (rows, rows).
        inputs: A, symmetric and positive semidefinite, shape (columns, columns).

    Raises:
        WeightsError: when a factor is not square and symmetric, or not finite.
    """

    outputs: Tensor
    inputs: Tensor

    def __post_init__(self) -> None:
        for factor in (self.outputs, self.inputs):
            if factor.ndim != 2 or factor.shape[0] != factor.shape[1] or not bool(torch.isfinite(factor).all()):
                raise WeightsError(f"a Kronecker factor is a finite square matrix, not of shape {tuple(factor.shape)}")
            if not torch.allclose(
                factor, factor.T, rtol=1e-4, atol=1e-6 * float(factor.abs().max()) if factor.numel() else 0
            ):
                raise WeightsError("a Kronecker factor is symmetric")

    def error(self, weights: Tensor, compressed: Tensor) -> float:
        """Return the trace."""
        assert weights.shape == compressed.shape, "broadcasting would hide a wrong shape"
        difference = (weights.double() - compressed.double()).reshape(len(self.outputs), len(self.inputs))
        return float(((self.outputs.double() @ difference) * (difference @ self.inputs.double())).sum())


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


def importances_of(metrics: Metrics, name: str, weights: Tensor) -> Tensor | None:
    """Return what `diagonal_of` does, and of a `Kronecker` its diagonal: that of G times that of A, for each weight.

    It is for what chooses weights one by one: products of errors in different weights are left out.

    Raises:
        UnsupportedMetric: when the metric is none of these.
        WeightsError: when it is not of the tensor's shape.
    """
    metric = metrics.get(name)
    if not isinstance(metric, Kronecker):
        if not isinstance(metric, Unit | Diagonal | None):
            raise UnsupportedMetric(
                f"{name}: a budget weighs squared errors, by a diagonal or Kronecker metric, not "
                f"{type(metric).__name__}"
            )
        return diagonal_of(metrics, name, weights)
    rows, columns = metric.outputs.diagonal(), metric.inputs.diagonal()
    if len(rows) != len(weights) or len(rows) * len(columns) != weights.numel():
        raise WeightsError(
            f"{name}: factors of {len(rows)} rows and {len(columns)} columns, weights {tuple(weights.shape)}"
        )
    return torch.outer(rows, columns).clamp_min(0).reshape(weights.shape)


def _require_importances(importance: Tensor) -> None:
    """Raise `WeightsError` unless all entries are finite and not negative."""
    if not bool((torch.isfinite(importance) & (importance >= 0)).all()):
        raise WeightsError("importances must be finite and not negative")
