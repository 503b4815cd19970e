"""Minimising a task's loss by epochs of a torch optimizer, with or without a quadratic penalty: the one training loop.

Reference training, the L step of the LC algorithm and fine-tuning are this loop over different leaves.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from laconic import interrupts
from laconic.errors import WeightsError
from laconic.models.params import Params
from laconic.training.batches import Batch
from laconic.training.clipping import clip_rows
from laconic.training.optimization import Optimization
from laconic.training.task import Task, mode


class Penalty(ABC):
    """A term added to the loss, with its gradient in closed form."""

    @abstractmethod
    def add_gradient(self, leaves: Mapping[str, Tensor]) -> None:
        """Add the gradient to ``leaf.grad`` in place; gradients are off."""

    @abstractmethod
    def value(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Return the term itself, 0-d; only an optimizer that searches along a line asks for it."""


Loss = Callable[[Params, Batch], Tensor]
"""(weights, batch) → mean loss of the batch, 0-d, with a graph."""


class Gradients(ABC):
    """How the leaves get the gradients of a batch, where it is not by one backward pass: several workers share it."""

    @abstractmethod
    def backward(
        self, loss: Loss, params_of_leaves: Callable[[], Params], leaves: Mapping[str, Tensor], batch: Batch
    ) -> Tensor:
        """Fill ``leaf.grad`` with what the optimizer is to see, and return the mean loss, 0-d, without a graph."""


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
    clip: float | None = None,
    gradients: Gradients | None = None,
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
        clip: likewise.
        gradients: in place of one backward pass over a batch; before clipping, penalty and decay.

    Raises:
        WeightsError: when the loss or a leaf is NaN or infinite: the learning rate is too large.
    """
    total: Tensor | float = 0.0
    count = 0
    with seeded(seed):
        for batch in task.batches("train", seed):
            interrupts.check()
            losses: list[Tensor] = []

            def closure(batch: Batch = batch, losses: list[Tensor] = losses) -> Tensor:
                optimizer.zero_grad()
                if gradients is None:
                    loss = _loss(task, params_of_leaves(), batch)
                    loss.backward()  # type: ignore[no-untyped-call]
                else:
                    loss = gradients.backward(partial(_loss, task), params_of_leaves, leaves, batch)
                losses.append(loss.detach())
                if clip is not None:
                    clip_rows(leaves.values(), clip)
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


def _loss(task: Task, params: Params, batch: Batch) -> Tensor:
    """Return what training minimises, of a batch."""
    return task.minimised(task.outputs(params, batch), batch)


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
    gradients: Gradients | None = None,
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
        gradients: as in `train_epoch`.

    Raises:
        WeightsError: when training diverges.
    """
    weights = {name: tensor.detach().clone() for name, tensor in params.items()}
    leaves = {name: weights[name].requires_grad_() for name in trainable(task.module, params)}
    optimizer = how.optimizer(list(leaves.values()), how.lr)  # each epoch sets its own rate
    loss = math.nan
    with mode(task.module, training=True, still=task.still):
        for epoch in range(how.epochs):
            set_lr(optimizer, min(how.lr * how.anneal(epoch / how.epochs), max_lr))
            loss = train_epoch(
                task, leaves, lambda: weights, optimizer, derive_seed(seed, epoch), penalty, how.weight_decay, how.clip,
                gradients,
            )  # fmt: skip
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
