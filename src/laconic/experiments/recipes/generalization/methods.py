"""The methods of the recipe: nothing, weight decay, and compressions, each number selected by folds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch

from laconic.api import compress
from laconic.choose.selecting import Tried, one_standard_error
from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.statement import percent
from laconic.lc.learning import Training
from laconic.models.params import Params, params_of
from laconic.selection import select, varied
from laconic.training.folds import errors_of, folds
from laconic.training.optimization import Optimization
from laconic.training.task import Task
from laconic.training.trainer import start_training, train


@final
@dataclass(frozen=True)
class Method:
    """What keeps a network from learning its samples by heart.

    Args:
        name: of the row.
        values: that are tried; none where there is nothing to select.
        technique: key of a plan's row; None where the network is not compressed and ``values`` are weight decays.
    """

    name: str
    values: tuple[float, ...]
    technique: str | None = None


METHODS = (
    Method("no regularization", (0.0,)),
    Method("weight decay", (1e-3, 3e-3, 1e-2, 3e-2)),
    Method("LC, share of weights", (0.02, 0.05, 0.1, 0.3), "keep"),
    Method("LC, number of values", (2, 4, 8, 16), "codebook"),
    Method("LC, rank", (4, 8, 12, 24), "rank"),
)
"""Shares are of all weights together, numbers of values and ranks of each matrix."""


@final
@dataclass(frozen=True, eq=False)
class Few:
    """A task of few training samples.

    Args:
        task: its module has the first weights.
        size: training samples.
        seed: they were drawn by.
    """

    task: Task
    size: int
    seed: int


@final
@dataclass(frozen=True)
class Effort:
    """How long networks are trained.

    Args:
        folds: by which numbers are selected.
        reference: of what is compressed.
        learning: of LC.
        alone: of what is not compressed, in as many epochs.
    """

    folds: int
    reference: Optimization
    learning: Training
    alone: Optimization


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A network of one method, on one training set.

    Args:
        method: its name.
        size: training samples.
        seed: they were drawn by.
        value: that was selected.
        least: value of the least error over the folds.
        file_bytes: of its file; of a network that is not compressed None.
        errors: 1 where a test image is named wrongly, shape (samples,).
        at_least: the same of the network by ``least``.
    """

    method: str
    size: int
    seed: int
    value: float
    least: float
    file_bytes: int | None
    errors: np.ndarray
    at_least: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        plain = {key: getattr(self, key) for key in ("method", "size", "seed", "value", "least", "file_bytes")}
        return {**plain, "error": percent(self.errors), "error at least": percent(self.at_least)}


def run_of(method: Method, few: Few, effort: Effort, context: Context) -> Run:
    """Return the network of a method, judged once on the test split in the life of the folder."""
    key = f"{few.size}, {few.seed}, {method.name}"

    def compute() -> Point:
        how = _alone if method.technique is None else _compressed
        figures, selected, least = how(method, few, effort, context, key)
        judged = {"errors": selected, "at least": least}
        test = {name: torch.from_numpy(errors_of(few.task, one, "test") / 100) for name, one in judged.items()}
        return dict(figures), test

    figures, tensors = context.cache.point(key, compute)
    return Run(
        method.name, few.size, few.seed, figures["value"], figures["least"], figures["bytes"],
        tensors["errors"].numpy(), tensors["at least"].numpy(),
    )  # fmt: skip


def _alone(
    method: Method, few: Few, effort: Effort, context: Context, key: str
) -> tuple[Mapping[str, Any], Params, Params]:  # fmt: skip
    """Return a network that is trained and not compressed, by the decay of least error over the folds."""
    candidates = list[Tried]()
    for number, decay in enumerate(method.values if len(method.values) > 1 else ()):
        context.say(number / (len(method.values) + 1), f"{key}: {decay:g}")

        def compute(decay: float = decay) -> Point:
            how = replace(effort.alone, weight_decay=decay)
            parts = folds(few.task, effort.folds, few.seed)
            errors = [errors_of(part, _trained(part, how, few.seed), "validation").mean() for part in parts]
            return {"errors": list(map(float, errors))}, {}

        figures, _ = context.cache.point(f"{key}: {decay:g}", compute)
        candidates.append(Tried(decay, 0.0, np.array(figures["errors"])))
    value = candidates[one_standard_error(candidates)[0]].value if candidates else method.values[0]
    params = _trained(few.task, replace(effort.alone, weight_decay=value), few.seed)
    return {"value": value, "least": value, "bytes": None}, params, params


def _compressed(
    method: Method, few: Few, effort: Effort, context: Context, key: str
) -> tuple[Mapping[str, Any], Params, Params]:  # fmt: skip
    """Return a network that is compressed by LC, with the number that the folds select and with that of least error."""
    assert method.technique is not None, "what is not compressed has none"

    def keep(name: str, compute: Callable[[], Point]) -> Point:
        return context.cache.point(f"{key}: {name}", compute)

    reference, joint = _trained(few.task, effort.reference, few.seed), method.technique == "keep"
    found = select(
        reference, method.technique, method.values, few.task, "train", folds=effort.folds,
        fresh=params_of(few.task.module), refit=effort.reference, joint=joint,
        training=effort.learning, seed=few.seed, keep=keep, say=lambda done, text: context.say(done, f"{key}: {text}"),
    )  # fmt: skip
    least, best = found.candidates[found.least].value, found.result
    if found.least != found.chosen:
        make = varied(method.technique, joint=joint)
        best = compress(reference, make(least), few.task, "train", training=effort.learning, seed=few.seed)
    figures = {"value": found.value, "least": least, "bytes": found.result.file_bytes}
    return figures, found.result.params, best.params


def _trained(task: Task, how: Optimization, seed: int) -> Params:
    """Return the weights after training from the module's."""
    state = start_training(params_of(task.module))
    for reached in train(task, state, how, seed):
        state = reached
    return state.weights
