"""Weights of compact layers: nearest to what the layer in their place writes, by least squares.

The error is taken about its mean where a bias or a normalization follows it; a bias takes up the mean that is left. A
normalization between the two convolutions passes on what it reads; a ReLU after it is moved away from its bend, and
what that adds is taken out at the end: the layer begins as one without them.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from laconic.deploy.compact import Compact, compact
from laconic.deploy.separable import separable
from laconic.deploy.through import through

_RIDGE = 1e-6
"""Of the mean moment, added to each: directions that no sample has."""

_LINEAR = 3.0
"""Standard deviations by which a ReLU between is moved away at first, so that the layer begins as one without."""

_ROUNDING = 1e-12
"""Of a mean's square, added to each second moment: what float64 may lose of them."""

How = tuple[str, tuple[int, ...]]
"""Kind and sizes, as `laconic.deploy.compact.why_not` has them."""


class Met(NamedTuple):
    """What a layer reads: the covariance of a position, and the mean, float64."""

    centred: Tensor
    mean: Tensor

    def moments(self, *, about_mean: bool) -> Tensor:
        """Return the covariance, or E[x xᵀ], positive definite: a ridge is of the spread alone, however far the mean.

        What rounding leaves of a mean without any spread is in the ridge, too.
        """
        spread, far = float(self.centred.diagonal().mean()), float(self.mean.square().mean())
        level = max(_RIDGE * spread, 0.0 if about_mean else _ROUNDING * far) or _RIDGE
        ridged = self.centred + level * torch.eye(len(self.mean), dtype=self.mean.dtype)
        return ridged if about_mean else ridged + torch.outer(self.mean, self.mean)


def refitted(layer: Any, how: How, met: Met | None, *, about_mean: bool = False) -> tuple[Compact, float]:
    """Return compact layers with the weights of least squares, and the error of what they write.

    Args:
        layer: for which `laconic.deploy.compact.why_not` says nothing.
        how: what it becomes.
        met: what it reads; all inputs are alike unless given.
        about_mean: whether somebody takes out the mean of what it writes; a bias of its own does so anyway.
    """
    (kind, sizes), made = how, compact(layer, *how).train(layer.training)
    weight = layer.weight.detach().double().cpu().flatten(1)
    moments = None if met is None else met.moments(about_mean=about_mean or layer.bias is not None)
    if kind == "pointwise" or kind == "pooled":
        seen = _one_tap(layer) if kind == "pointwise" else _means(layer, sizes[0])
        new = through(weight, seen, moments)
        rest = weight - new @ seen
        _set(made[-1].weight, new)
    else:
        depthwise, new = separable(weight.view(*layer.weight.shape[:2], -1), sizes[0], moments)
        rest = weight - torch.einsum("oir,iru->oiu", new, depthwise).flatten(1)
        _set(made[0].weight, depthwise)
        _set(made[-1].weight, new)
    bias: Any = made[-1].bias
    if bias is not None:
        shift = torch.zeros(len(weight)).double() if met is None else rest @ met.mean
        old = torch.zeros_like(shift) if layer.bias is None else layer.bias.detach().double().cpu() + shift
        _set(bias, old - _between(made, met))
    moments = torch.eye(weight.shape[1], dtype=weight.dtype) if moments is None else moments
    lost, whole = (float(((one @ moments) * one).sum()) for one in (rest, weight))
    return made, lost / whole if whole else 0.0


def _between(made: Any, met: Met | None) -> Tensor | float:
    """Let a norm between the two convolutions pass on what it reads; return what the ReLU after it adds at the end."""
    if len(made) < 3:
        return 0.0
    depthwise, norm, pointwise = made[0].weight, made[1], made[-1].weight
    rows = depthwise.detach().double().cpu().view(made[0].in_channels, -1, depthwise[0].numel())
    mean, variance = torch.zeros(len(depthwise)).double(), rows.square().sum(-1).flatten()
    if met is not None:
        taps = rows.shape[-1]
        mean = torch.einsum("iru,iu->ir", rows, met.mean.view(-1, taps)).flatten()
        blocks = torch.stack([met.centred[at : at + taps, at : at + taps] for at in range(0, len(met.mean), taps)])
        variance = torch.einsum("iru,iuv,irv->ir", rows, blocks, rows).flatten().clamp_min(0)
    added = (_LINEAR * variance.sqrt() - mean).clamp_min(0) if made.kind == "separable-relu" else torch.zeros_like(mean)
    for tensor, values in zip(
        (norm.running_mean, norm.running_var, norm.weight, norm.bias),
        (mean, variance, (variance + norm.eps).sqrt(), mean + added), strict=True,
    ):  # fmt: skip
        _set(tensor, values)
    moved: Tensor = pointwise.detach().double().cpu().flatten(1) @ added
    return moved


def _set(tensor: Any, values: Tensor) -> None:
    """Copy values into a parameter or buffer, in its own shape."""
    with torch.no_grad():
        tensor.copy_(values.reshape(tensor.shape))


def _one_tap(layer: Any) -> Tensor:
    """Return which of a patch the middle tap is, shape (inputs, inputs · taps)."""
    taps = math.prod(layer.kernel_size)
    middle = torch.zeros(1, taps).double()
    middle[0, taps // 2] = 1
    return torch.kron(torch.eye(layer.in_channels).double(), middle)


def _means(layer: nn.Linear, positions: int) -> Tensor:
    """Return how the mean of each map is made, shape (maps, inputs)."""
    each = torch.full((1, positions), 1 / positions).double()
    return torch.kron(torch.eye(layer.in_features // positions).double(), each)
