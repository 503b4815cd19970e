"""Training epoch by epoch, of reference networks and codes, such that an interrupted run ends with the same bits."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import final

from torch import Tensor

from laconic.models.params import Params
from laconic.training.latent import Latent
from laconic.training.loop import Gradients, derive_seed, set_lr, train_epoch, trainable
from laconic.training.optimization import Optimization
from laconic.training.task import Task, mode


@final
@dataclass(frozen=True, eq=False)
class TrainState:
    """Where training stands after an epoch: enough to go on and end with the same bits.

    Args:
        epoch: epochs done.
        weights: whatever an epoch changes: parameters and buffers.
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


def train(
    task: Task,
    state: TrainState,
    how: Optimization,
    seed: int,
    latent: Latent | None = None,
    gradients: Gradients | None = None,
) -> Iterator[TrainState]:
    """Train the reference network and yield the state after each epoch, the last being the result.

        min_w L(w) + (α/2) ‖w‖²        or, with ``latent``, over numbers v of which w is a function (and its penalty)

    Args:
        task: what to train on.
        state: `start_training`'s, or any that this generator has yielded.
        how: as in `minimise`.
        seed: of batches and dropout.
        latent: numbers that are trained in place of weights; states hold them then, and `Latent.judged` makes weights.
        gradients: as in `train_epoch`.

    Raises:
        PlanError: when there is nothing that ``latent`` could stand for, or the optimizer does not go with it.
        WeightsError: when training diverges.
    """
    numbers = {name: tensor.detach().clone() for name, tensor in state.weights.items()}
    if latent is None:
        leaves = {name: numbers[name].requires_grad_() for name in trainable(task.module, numbers)}
        return train_leaves(task, state, leaves, numbers, lambda: numbers, how, seed, None, gradients)
    if state.epoch == 0:
        numbers = latent.parts(numbers, trainable(task.module, numbers))
    names = latent.judged(numbers)  # nothing is drawn: the caller's generator stays as it is
    still = names.keys() - set(trainable(task.module, names))
    leaves = {name: tensor.requires_grad_() for name, tensor in numbers.items() if name not in still}
    return train_leaves(task, state, leaves, numbers, lambda: latent.whole(numbers), how, seed, latent, gradients)


def train_leaves(
    task: Task,
    state: TrainState,
    leaves: Params,
    changing: Params,
    weights: Callable[[], Params],
    how: Optimization,
    seed: int,
    latent: Latent | None = None,
    gradients: Gradients | None = None,
) -> Iterator[TrainState]:
    """Do as `train` does for weights that are functions of other numbers.

    Args:
        task: what to train on.
        state: what to go on from.
        leaves: what the optimizer moves, with the values that they have in ``state``.
        changing: all that an epoch changes, and that a state has: the leaves, and buffers.
        weights: gives the weights of the network from these.
        how: as in `minimise`.
        seed: of batches and dropout.
        latent: what the leaves are numbers of, as in `train`.
        gradients: as in `train_epoch`.
    """
    penalty = None if latent is None else latent.penalty(leaves)
    optimizer = how.optimizer(list(leaves.values()), how.lr)
    for name, leaf in leaves.items():
        prefix = f"{name}/"
        held = {key.removeprefix(prefix): t.clone() for key, t in state.momentum.items() if key.startswith(prefix)}
        optimizer.state[leaf].update(held)
    for epoch in range(state.epoch, how.epochs):
        set_lr(optimizer, how.lr * how.anneal(epoch / how.epochs))
        settled = nullcontext() if latent is None else latent.between(optimizer, leaves)
        with mode(task.module, training=True, still=task.still), settled:
            shuffled = derive_seed(seed, epoch)
            loss = train_epoch(
                task, leaves, weights, optimizer, shuffled, penalty, how.weight_decay, how.clip, gradients
            )
        momentum = {
            f"{name}/{key}": value.detach().clone()
            for name, leaf in leaves.items()
            for key, value in optimizer.state[leaf].items()
            if isinstance(value, Tensor)
        }
        copies = {name: tensor.detach().clone() for name, tensor in changing.items()}
        yield replace(state, epoch=epoch + 1, weights=copies, momentum=momentum, loss=loss)
