"""Pairs of networks, trained alone or learning from each other, on the same data in as many steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.recipe import Context
from laconic.models import data, nets
from laconic.models.params import Params, params_of
from laconic.teachers.codistillation import codistilled, one_of
from laconic.training.batches import targets_of
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification, mode
from laconic.training.trainer import start_training, train

NET = "lenet300"
ALONE = 0
"""Stands for no exchange at all, where others have their staleness."""


@final
@dataclass(frozen=True)
class Effort:
    """How networks are trained.

    Args:
        data: name of the data set.
        how: of each network.
        batch: samples.
        burn_in: steps before networks learn from each other.
    """

    data: str
    how: Optimization
    batch: int
    burn_in: int


@final
@dataclass(frozen=True, eq=False)
class Pair:
    """Two networks that were trained side by side.

    Args:
        staleness: steps between two exchanges; 0 where they were trained alone.
        seed: of both.
        validation: error on the validation split after each epoch, mean over the two, percent.
        errors: 1 where a network names a test image wrongly, shape (2, samples).
        together: 1 where the mean of their probabilities does, shape (samples,).
    """

    staleness: int
    seed: int
    validation: tuple[float, ...]
    errors: np.ndarray
    together: np.ndarray


def tasks_of(effort: Effort, context: Context, seed: int) -> list[Task]:
    """Return the tasks of two networks with first weights of their own, on the same data."""
    images = data.load(effort.data, context.data_dir, nets.preprocessing_of(NET, effort.data))
    modules = [nets.build(NET, images.shape, images.classes, 2 * seed + number) for number in (0, 1)]
    return [classification(module, images, batch=effort.batch) for module in modules]


def pair_of(staleness: int, seed: int, effort: Effort, context: Context) -> Pair:
    """Return a pair, trained and judged once in the life of the folder.

    Alone they are the pair with a weight of 0 on what the other says: the same first weights, batches and steps.
    """
    key = f"seed {seed}, " + (f"staleness {staleness}" if staleness else "alone")

    def compute() -> Point:
        tasks, validation = tasks_of(effort, context, seed), list[float]()
        joint = codistilled(
            tasks, staleness=staleness or 1, weight=float(staleness > 0),
            burn_in=effort.burn_in if staleness else effort.how.epochs * tasks[0].count("train"),
        )  # fmt: skip
        for state in train(joint, start_training(params_of(joint.module)), effort.how, seed):
            validation.append(round(joint.evaluate(state.weights, "validation")["error"], 4))
            context.say(state.epoch / effort.how.epochs, f"{key}: epoch {state.epoch}/{effort.how.epochs}")
        each = [_probabilities(task, one_of(state.weights, number)) for number, task in enumerate(tasks)]
        labels = torch.cat([targets_of(batch) for batch in tasks[0].batches("test", 0)])
        wrong = [said.argmax(1).ne(labels).double() for said in (*each, sum(each, torch.zeros(())))]
        return {"validation": validation}, {"errors": torch.stack(wrong[:2]), "together": wrong[2]}

    figures, tensors = context.cache.point(key, compute)
    errors, together = tensors["errors"].numpy(), tensors["together"].numpy()
    return Pair(staleness, seed, tuple(figures["validation"]), errors, together)


def _probabilities(task: Task, params: Params) -> Tensor:
    """Return what a network says of the test split, shape (samples, classes)."""

    def said() -> Iterator[Tensor]:
        for batch in task.batches("test", 0):
            interrupts.check()
            yield task.outputs(params, batch).softmax(1)

    with torch.no_grad(), mode(task.module, training=False):
        return torch.cat(list(said()))
