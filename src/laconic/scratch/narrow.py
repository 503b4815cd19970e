"""A narrow network trained from fresh weights, for as long as the wide one was, or at the same cost."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

from torch import Tensor, nn

from laconic.deploy.account import multiply_adds
from laconic.deploy.edits import Edits, edits_of
from laconic.deploy.narrowing import narrow
from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.result import Result
from laconic.scratch.drawing import drawn
from laconic.training.batches import arguments_of, rows_of
from laconic.training.optimization import Optimization
from laconic.training.task import Task
from laconic.training.trainer import TrainState, start_training, train

Spent = Literal["epochs", "multiply-adds"]
"""What the narrow network may spend as much of as the wide one: Scratch-E, and Scratch-B."""

Draw = Callable[[nn.Module, int], Params]
"""(module, seed) → first weights and buffers."""


@final
@dataclass(frozen=True, eq=False)
class Scratch:
    """A narrow network that was trained from scratch.

    Args:
        task: the same with the narrow module, which has the weights that it began with.
        weights: after training.
        epochs: how long that was.
        ratio: multiply-adds of the wide network over its own.
    """

    task: Task
    weights: dict[str, Tensor]
    epochs: int
    ratio: float


def from_scratch(
    task: Task,
    small: Result | Edits,
    how: Optimization,
    spend: Spent = "epochs",
    *,
    draw: Draw = drawn,
    seed: int = 0,
    resume: TrainState | None = None,
    watch: Callable[[TrainState, int], None] = lambda state, epochs: None,
) -> Scratch:
    """Train a network of the widths that pruning has found, from fresh weights.

    Source: Liu, Sun, Zhou, Huang & Darrell, "Rethinking the value of network pruning" (ICLR 2019), section 3:
    Scratch-E takes the epochs of the wide network, Scratch-B as many as cost its multiply-adds. The learning rate
    falls over all of them. Departure: theirs at most doubles the epochs on ImageNet; this one never stops short.

    Args:
        task: of the wide network, whose module stays as it is.
        small: a network that `Result.shrink` made smaller, or its edits.
        how: the wide network was trained.
        spend: "epochs" for Scratch-E, "multiply-adds" for Scratch-B, rounded up to whole epochs.
        draw: first weights of the narrow module.
        seed: of first weights and the order of batches.
        resume: a state that ``watch`` was given in an earlier call with the same arguments.
        watch: given the state after each epoch, and how many there are: progress and checkpoints live there.

    Raises:
        DataError: when ``draw`` cannot draw for a layer.
        FormatError: when the edits are not those of this network.
        PlanError: when nothing was cut out, or for something else to spend.
        WeightsError: when training diverges.
    """
    edits = edits_of(small.metadata) if isinstance(small, Result) else small
    if not edits:
        raise PlanError("this network is as wide as before: Result.shrink(module, example) cuts out what is empty")
    if spend not in ("epochs", "multiply-adds"):
        raise PlanError(f"spend is 'epochs' (Scratch-E) or 'multiply-adds' (Scratch-B), not {spend!r}")
    example = arguments_of(task.module, rows_of(next(task.batches("train", 0)), 0, 1))
    thin = narrow(copy.deepcopy(task.module), edits)
    ratio = multiply_adds(task.module, example) / multiply_adds(thin, example)
    epochs = how.epochs if spend == "epochs" else math.ceil(how.epochs * ratio)
    own = replace(task, module=thin)
    first = draw(thin, seed)
    state = resume or start_training(first)
    for reached in train(own, state, replace(how, epochs=epochs), seed):
        state = reached
        watch(state, epochs)
    weights = {name: state.weights[name] for name in first}  # a state that was read from a file has another order
    return Scratch(own, weights, epochs, ratio)
