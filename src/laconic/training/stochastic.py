"""Stochastic rounding, and training through it.

    q(w) = c_{k+1} with probability (w − c_k) / (c_{k+1} − c_k), else c_k,    c_k ≤ w ≤ c_{k+1}

so that E q(w) = w between the outer entries; what lies outside is rounded to the nearer of them. With the entries −1
and 1 it is stochastic binarization: P(+1) = max(0, min(1, (w + 1)/2)), the hard sigmoid. The straight-through estimator
takes the gradient at q(w) for that at w, but for weights outside, which get none.

Source: Courbariaux, Bengio & David, "BinaryConnect" (NIPS 2015); Bengio, Léonard & Courville, "Estimating or
propagating gradients through stochastic neurons" (2013).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.errors import PlanError
from laconic.models.params import call, first_names
from laconic.training.task import Task


def stochastic_round(weights: Tensor, entries: Sequence[float], generator: torch.Generator | None) -> Tensor:
    """Return ``weights`` rounded at random to a neighbouring entry each, of their dtype; without a gradient.

    Args:
        weights: any shape, floating point; NaN stays NaN.
        entries: c, one or more finite numbers in any order.
        generator: draws one number a weight; None for torch's own, which training seeds for each epoch.

    Raises:
        PlanError: for no entries, or some that are not finite.

    >>> stochastic_round(torch.tensor([-7.0, -1.0, 1.0, 7.0]), (-1, 1), torch.Generator())
    tensor([-1., -1.,  1.,  1.])
    """
    grid = _grid(weights, entries)
    w = weights.detach().to(grid.dtype).clamp(grid[0], grid[-1])
    if len(grid) == 1:
        return w.to(weights.dtype)
    above = torch.searchsorted(grid, w.contiguous()).clamp(1, len(grid) - 1)
    low, high = grid[above - 1], grid[above]
    draw = torch.rand(w.shape, generator=generator, dtype=grid.dtype, device=w.device)
    rounded = torch.where(draw < (w - low) / (high - low), high, low)
    return torch.where(w.isnan(), w, rounded).to(weights.dtype)


def nearest_entry(weights: Tensor, entries: Sequence[float]) -> Tensor:
    """Return the nearest entry for each weight, a tie to the upper one: what `stochastic_round` becomes in evaluation.

    >>> nearest_entry(torch.tensor([-0.3, 0.0, 5.0]), (-1, 1))
    tensor([-1.,  1.,  1.])
    """
    grid = _grid(weights, entries)
    w = weights.detach().to(grid.dtype)
    nearest = grid[torch.searchsorted((grid[1:] + grid[:-1]) / 2, w.contiguous(), right=True)]
    return torch.where(w.isnan(), w, nearest).to(weights.dtype)


def straight_through(weights: Tensor, quantized: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """Return ``quantized``; its gradient is handed on to the ``weights`` within ``low`` and ``high``.

    >>> w = torch.tensor([0.2, 3.0], requires_grad=True)
    >>> straight_through(w, torch.tensor([1.0, 1.0]), -1, 1).sum().backward()
    >>> w.grad
    tensor([1., 0.])
    """
    inside = (weights.detach() >= low) & (weights.detach() <= high)
    return quantized.detach() + (weights - weights.detach()) * inside  # adds 0, and its gradient


def through_rounding(task: Task, names: Sequence[str], entries: Sequence[float]) -> Task:
    """Return ``task`` with some of its parameters rounded on the way into the module: an L step through rounding.

    In training mode each forward pass rounds at random, by torch's own generator as dropout does, and gradients go
    straight through; in evaluation mode weights go to the nearest entry.

    Args:
        task: the task of the real-valued weights.
        names: parameters that are rounded, by their names in the module.
        entries: what they are rounded to.

    Raises:
        PlanError: for a name that the module lacks, and for bad entries.
    """
    strange = sorted(set(names) - {name for name, _ in task.module.named_parameters(remove_duplicate=False)})
    if strange:
        raise PlanError(f"names are parameters of the module; it has no {', '.join(strange)}")
    _grid(torch.zeros(0), entries)
    return replace(task, module=_Rounded(task.module, tuple(names), tuple(entries)))


@final
class _Rounded(nn.Module):
    """A module of the same parts and names, which rounds some parameters before each pass."""

    inner: nn.Module
    names: tuple[str, ...]
    entries: tuple[float, ...]

    def __init__(self, module: nn.Module, names: tuple[str, ...], entries: tuple[float, ...]) -> None:
        super().__init__()
        self.__dict__.update(inner=module, names=names, entries=entries)  # not one of its own parts
        for kind in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[kind] = getattr(module, kind)
        self.training = module.training

    def forward(self, *inputs: Any) -> Any:
        """Round, and hand on."""
        named, firsts = dict(self.named_parameters(remove_duplicate=False)), first_names(self.inner)
        rounded = {firsts[name]: self._rounded(named[name]) for name in self.names if name in named}
        before, self.inner.training = self.inner.training, self.training  # its parts are ours
        try:
            return call(self.inner, rounded, inputs, {})
        finally:
            self.inner.training = before

    def _rounded(self, weights: Tensor) -> Tensor:
        """Return one parameter as the module sees it."""
        if not self.training:
            return nearest_entry(weights, self.entries)
        quantized = stochastic_round(weights, self.entries, None)
        return straight_through(weights, quantized, min(self.entries), max(self.entries))


def _grid(weights: Tensor, entries: Sequence[float]) -> Tensor:
    """Return the entries, ascending, in the dtype of the weights but float32 at least."""
    if not entries or not all(math.isfinite(entry) for entry in entries):
        raise PlanError(f"entries are one or more finite numbers, not {list(entries)}")
    dtype = torch.promote_types(weights.dtype, torch.float32)
    return torch.tensor(sorted(set(entries)), dtype=dtype, device=weights.device)
