"""How a stretch of training is run: epochs, learning rate, optimizer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.optim import Optimizer

from laconic.errors import PlanError

MakeOptimizer = Callable[[Sequence[Tensor], float], Optimizer]
"""(leaves, learning rate) → optimizer; made anew for each L step, so that no state outlives it."""


def nesterov(leaves: Sequence[Tensor], lr: float) -> Optimizer:
    """Return SGD with Nesterov momentum 0.9, the optimizer of the LC papers."""
    return torch.optim.SGD(leaves, lr=lr, momentum=0.9, nesterov=True)


def plain(leaves: Sequence[Tensor], lr: float) -> Optimizer:
    """Return SGD without momentum, for gradients that have it already."""
    return torch.optim.SGD(leaves, lr=lr)


def adam(leaves: Sequence[Tensor], lr: float) -> Optimizer:
    """Return Adam, whose steps do not depend on the scale of the gradients."""
    return torch.optim.Adam(leaves, lr=lr)


def constant(progress: float) -> float:
    """Return 1: the learning rate stays."""
    return 1.0


def cosine(progress: float) -> float:
    """Return the factor of the learning rate after the share ``progress`` of the epochs: half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@final
@dataclass(frozen=True)
class Optimization:
    """How a stretch of training is run.

    Args:
        epochs: passes over the training split.
        lr: learning rate at the start.
        anneal: factor of the learning rate as a function of the share of epochs done.
        weight_decay: α of an added `(α/2)‖w‖²` on the leaves with two or more axes.
        optimizer: makes the optimizer; one that needs a closure, such as L-BFGS, is as good.
        clip: longest gradient of the loss for a row of a weight, as a share of the row's length
            (`laconic.training.clipping`); None for no limit.
    """

    epochs: int = 1
    lr: float = 0.1
    anneal: Callable[[float], float] = constant
    weight_decay: float = 0.0
    optimizer: MakeOptimizer = nesterov
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise PlanError(f"epochs must be 0 or more, not {self.epochs}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise PlanError(f"the learning rate lr must be above 0 and finite, not {self.lr}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise PlanError(f"weight decay must be a number, 0 or more, not {self.weight_decay}")
        if self.clip is not None and not self.clip > 0:
            raise PlanError(f"clip is a share of a row's length above 0, or None, not {self.clip}")
