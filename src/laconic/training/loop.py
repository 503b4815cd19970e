"""Minimising a task's loss by epochs of a torch optimizer, with or without a quadratic penalty: the one training loop.

Reference training, the L step of the LC algorithm and fine-tuning are this loop over different leaves.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from laconic.errors import PlanError, WeightsError
from laconic.models.params import Params
from laconic.training.task import Batch, Task, mode

MakeOptimizer = Callable[[Sequence[Tensor], float], Optimizer]
"""(leaves, learning rate) → optimizer; made anew for each L step, so that no state outlives it."""


def nesterov(leaves: Sequence[Tensor], lr: float) -> Optimizer:
    """Return SGD with Nesterov momentum 0.9, the optimizer of the LC papers."""
    return torch.optim.SGD(leaves, lr=lr, momentum=0.9, nesterov=True)


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
    """

    epochs: int
    lr: float = 0.1
    anneal: Callable[[float], float] = constant
    weight_decay: float = 0.0
    optimizer: MakeOptimizer = nesterov

    def __post_init__(self) -> None:
        if self.epochs < 0 or not (math.isfinite(self.lr) and self.lr > 0) or self.weight_decay < 0:
            raise PlanError(f"epochs and weight decay must not be negative, and lr must be above 0: {self}")


class Penalty(ABC):
    """A term added to the loss, with its gradient in closed form."""

    @abstractmethod
    def add_gradient(self, leaves: Mapping[str, Tensor]) -> None:
        """Add the gradient to ``leaf.grad`` in place; gradients are off."""

    @abstractmethod
    def value(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Return the term itself, 0-d; only an optimizer that searches along a line asks for it."""


_READ_NO_VALUE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimizers that look at gradients alone: what their closure returns need not hold the penalty. No subclass counts."""


def derive_seed(*numbers: int) -> int:
    """Return a 63-bit seed that is a function of ``numbers``, such as (seed, step, epoch), and looks like no other."""
    words = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return int(words[0]) | int(words[1] & 0x7FFFFFFF) << 32


def trainable(module: nn.Module, names: Container[str]) -> list[str]:
    """Return the names that training moves: the module's parameters that require gradients, in its order.

    A tied parameter goes by whichever of them ``names`` holds.
    """
    named = module.named_parameters(remove_duplicate=False)
    return [name for name, parameter in named if parameter.requires_grad and name in names]


def train_epoch(
    task: Task,
    leaves: Mapping[str, Tensor],
    params_of_leaves: Callable[[], Params],
    optimizer: Optimizer,
    seed: int,
    penalty: Penalty | None = None,
    weight_decay: float = 0.0,
) -> float:
    """Pass once over the training batches and return the mean loss, without penalty and decay.

    Args:
        task: gives batches, outputs and loss; its module's mode is the caller's.
        leaves: what the optimizer moves, by name.
        params_of_leaves: all weights of the network as functions of the leaves.
        optimizer: over the leaves; called with a closure.
        seed: of the order of the batches and of dropout.
        penalty: term added to the loss.
        weight_decay: see `Optimization`.

    Raises:
        WeightsError: when the loss or a leaf is NaN or infinite: the learning rate is too large.
    """
    total: Tensor | float = 0.0
    count = 0
    with seeded(seed):
        for batch in task.batches("train", seed):
            losses: list[Tensor] = []

            def closure(batch: Batch = batch, losses: list[Tensor] = losses) -> Tensor:
                optimizer.zero_grad()
                loss = task.loss(task.outputs(params_of_leaves(), batch), batch)
                loss.backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
                _add_gradients(leaves, penalty, weight_decay)
                if type(optimizer) in _READ_NO_VALUE:
                    return losses[-1]
                return losses[-1] + _added_value(leaves, penalty, weight_decay)

            optimizer.step(closure)  # type: ignore[arg-type, unused-ignore]
            total = total + losses[0]  # the batch's first evaluation: later ones are the optimizer's line search
            count += 1
    mean = float(total / count) if count else math.nan
    finite = all(bool(torch.isfinite(leaf.detach()).all()) for leaf in leaves.values())
    if count and not (math.isfinite(mean) and finite):
        raise WeightsError("training diverged: loss or weights are not finite; lower the learning rate (--lr)")
    return mean


@torch.no_grad()
def _add_gradients(leaves: Mapping[str, Tensor], penalty: Penalty | None, weight_decay: float) -> None:
    """Add the gradients of penalty and weight decay in place."""
    if penalty is not None:
        penalty.add_gradient(leaves)
    for leaf in _decayed(leaves, weight_decay):
        assert leaf.grad is not None
        leaf.grad.add_(leaf, alpha=weight_decay)


@torch.no_grad()
def _added_value(leaves: Mapping[str, Tensor], penalty: Penalty | None, weight_decay: float) -> Tensor | float:
    """Return penalty and weight decay themselves."""
    value: Tensor | float = penalty.value(leaves) if penalty is not None else 0.0
    for leaf in _decayed(leaves, weight_decay):
        value = value + 0.5 * weight_decay * leaf.square().sum()
    return value


def _decayed(leaves: Mapping[str, Tensor], weight_decay: float) -> list[Tensor]:
    """Return the leaves that decay: those of two or more axes that the loss reaches."""
    return [leaf for leaf in leaves.values() if leaf.ndim >= 2 and leaf.grad is not None] if weight_decay else []


def minimise(
    task: Task,
    params: Params,
    how: Optimization,
    seed: int,
    penalty: Penalty | None = None,
    max_lr: float = math.inf,
) -> tuple[dict[str, Tensor], float]:
    """Train ``params`` and return the new ones and the mean loss of the last epoch.

        min_w L(w) + penalty(w) + (α/2) ‖w‖²

    Args:
        task: what to minimise; the module is in training mode meanwhile.
        params: weights to start from; they stay as they are.
        how: epochs, learning rate, optimizer.
        seed: the order of the batches of epoch e derives from (seed, e).
        penalty: added to the loss.
        max_lr: the learning rate is clipped here (LC: 1/μ).

    Raises:
        WeightsError: when training diverges.
    """
    weights = {name: tensor.detach().clone() for name, tensor in params.items()}
    leaves = {name: weights[name].requires_grad_() for name in trainable(task.module, params)}
    optimizer = how.optimizer(list(leaves.values()), min(how.lr, max_lr))
    loss = math.nan
    with mode(task.module, training=True):
        for epoch in range(how.epochs):
            set_lr(optimizer, min(how.lr * how.anneal(epoch / how.epochs), max_lr))
            loss = train_epoch(
                task, leaves, lambda: weights, optimizer, derive_seed(seed, epoch), penalty, how.weight_decay
            )
    return {name: tensor.detach() for name, tensor in weights.items()}, loss


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group of ``optimizer``."""
    for group in optimizer.param_groups:
        group["lr"] = lr


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give torch's global generators, which dropout draws from, a state of our own, and then their old ones back."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@final
@dataclass(frozen=True, eq=False)
class TrainState:
    """Where reference training stands after an epoch: enough to go on and end with the same bits.

    Args:
        epoch: epochs done.
        weights: parameters and buffers.
        momentum: the optimizer's tensors, named ``{parameter}/{key}``.
        loss: mean training loss of the last epoch.
    """

    epoch: int
    weights: Params
    momentum: Params
    loss: float


def packed(state: TrainState) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a state as the tensors and the metadata of a checkpoint."""
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    tensors |= {f"momentum/{name}": tensor for name, tensor in state.momentum.items()}
    return tensors, {"epoch": str(state.epoch), "loss": repr(state.loss)}


def unpacked(tensors: Params, metadata: Mapping[str, str]) -> TrainState:
    """Return the state that `packed` was given."""
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "momentum": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = tensor
    return TrainState(int(metadata["epoch"]), groups["weights"], groups["momentum"], float(metadata["loss"]))


def start_training(params: Params) -> TrainState:
    """Return the state before the first epoch."""
    return TrainState(0, dict(params), {}, math.nan)


def train(task: Task, state: TrainState, how: Optimization, seed: int) -> Iterator[TrainState]:
    """Train the reference network and yield the state after each epoch, the last being the result.

        min_w L(w) + (α/2) ‖w‖²

    Args:
        task: what to train on.
        state: `start_training`'s, or any that this generator has yielded.
        how: as in `minimise`.
        seed: of batches and dropout.

    Raises:
        WeightsError: when training diverges.
    """
    weights = {name: tensor.detach().clone() for name, tensor in state.weights.items()}
    leaves = {name: weights[name].requires_grad_() for name in trainable(task.module, weights)}
    optimizer = how.optimizer(list(leaves.values()), how.lr)
    for name, leaf in leaves.items():
        prefix = f"{name}/"
        held = {key.removeprefix(prefix): t.clone() for key, t in state.momentum.items() if key.startswith(prefix)}
        optimizer.state[leaf].update(held)
    for epoch in range(state.epoch, how.epochs):
        set_lr(optimizer, how.lr * how.anneal(epoch / how.epochs))
        with mode(task.module, training=True):
            loss = train_epoch(
                task, leaves, lambda: weights, optimizer, derive_seed(seed, epoch), None, how.weight_decay
            )
        momentum = {
            f"{name}/{key}": value.detach().clone()
            for name, leaf in leaves.items()
            for key, value in optimizer.state[leaf].items()
            if isinstance(value, Tensor)
        }
        copies = {name: tensor.detach().clone() for name, tensor in weights.items()}
        yield replace(state, epoch=epoch + 1, weights=copies, momentum=momentum, loss=loss)
