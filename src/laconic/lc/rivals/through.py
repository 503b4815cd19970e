"""Training weights by way of what becomes of them in the network: a mask, or a rounding.

w ← argmin L(Δ(w))     by gradients that Δ hands on to w
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.compression import Codes
from laconic.format.codes import SparseCode, TileSparseCode
from laconic.lc.l_step import LearningStep
from laconic.lc.state import LCState
from laconic.lc.steps import c_step
from laconic.models.params import Params
from laconic.plans.plan import Row
from laconic.training.loop import derive_seed, trainable
from laconic.training.trainer import start_training, train_leaves

Masks = Mapping[str, Tensor]
"""Which weights stay, by name, of the shape and type of the tensor: 1 or 0."""


def masks_of(codes: Codes, like: Params) -> Masks:
    """Return which weights codes keep: what they store, be it 0; of codes that are not sparse what is not 0."""
    return {name: torch.from_numpy(_kept(code)).view(like[name].shape).to(like[name]) for name, code in codes.items()}


def _kept(code: object) -> np.ndarray:
    """Return which weights a code keeps, bool."""
    if isinstance(code, SparseCode):
        return np.asarray(code.mask.array.astype(bool))
    if isinstance(code, TileSparseCode):
        return np.asarray(code.kept().astype(bool))
    return np.asarray(code.decompress() != 0)  # type: ignore[attr-defined]


def masked(weights: Params, masks: Masks) -> dict[str, Tensor]:
    """Return the weights with zeros where a mask has them."""
    return {**weights, **{name: weights[name] * mask for name, mask in masks.items()}}


def trained(
    state: LCState,
    l_step: LearningStep,
    through: Callable[[Params], Params],
    beside: Params | None = None,
) -> tuple[dict[str, Tensor], float]:
    """Return all numbers after the epochs of a step, and the mean loss of the last one.

    Args:
        state: before the step; its weights are trained.
        l_step: task, epochs, learning rate and its decay, seed.
        through: gives the weights of the network from the numbers, differentiable; called once a batch.
        beside: further numbers that are trained, by names that no weight has.
    """
    task, how = l_step.task, replace(l_step.how, lr=l_step.how.lr * l_step.decay**state.progress.step)
    numbers = {name: tensor.detach().clone() for name, tensor in {**state.weights, **(beside or {})}.items()}
    moving = [*trainable(task.module, state.weights), *(beside or {})]
    leaves = {name: numbers[name].requires_grad_() for name in moving}
    seed = derive_seed(l_step.seed, state.progress.step)

    start = start_training(numbers)

    def weights() -> Params:
        entering = through(numbers)
        return {name: entering[name] for name in state.weights}

    (last,) = deque(chain([start], train_leaves(task, start, leaves, numbers, weights, how, seed)), maxlen=1)
    return {name: tensor.detach() for name, tensor in last.weights.items()}, last.loss


def following(state: LCState, rows: Sequence[Row], weights: Params, latent: Params, loss: float) -> LCState:
    """Return the state after a step.

    Args:
        state: before it.
        rows: what the network's weights are projected by.
        weights: of the network.
        latent: the weights that training goes on with.
        loss: of the step.
    """
    new = c_step(replace(state, rows=tuple(rows)), weights, 0.0, loss=loss, augmented=False)
    return replace(new, rows=state.rows, weights={**new.weights, **latent})


def chosen(state: LCState, rows: Sequence[Row]) -> Masks:
    """Return what rows keep of the weights that training goes on with."""
    codes = c_step(replace(state, rows=tuple(rows)), state.weights, 0.0).codes
    return masks_of(codes, state.weights)
