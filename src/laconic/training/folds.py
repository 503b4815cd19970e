"""Folds of the training data, each held out once; and the error of each sample by itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.params import Params, beside, first_names, once
from laconic.models.state_dicts import named_as
from laconic.training.batches import Batch, Batches, rows_of, size_of
from laconic.training.task import Task, mode


def fold_rows(total: int, count: int, seed: int) -> list[np.ndarray]:
    """Return the rows of each fold, ascending: all of ``total`` once, in sizes that differ by one at most.

    Raises:
        DataError: for fewer than two folds, or more than there are samples.
    """
    if not 2 <= count <= total:
        raise DataError(f"{total:,} training samples make 2 to {total:,} folds, not {count}")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).numpy()
    return [np.sort(order[start::count]) for start in range(count)]


def folds(task: Task, count: int, seed: int) -> list[Task]:
    """Return a task for each fold: it trains on all other training samples, and validates on the fold.

    The training data come into memory, as a pass of seed 0 gives them: augmentation is the same in each epoch. Batches
    are as large as theirs, and shuffled anew each pass. The tasks have no test split: none can be read.

    Args:
        task: with training data.
        count: of folds.
        seed: of what goes where.

    Raises:
        DataError: when there are fewer samples than folds, or batches cannot be put together.
    """
    batches = list(task.batches("train", 0))
    whole, size = _joined(batches), max(map(size_of, batches))
    parts = []
    for held in fold_rows(size_of(whole), count, seed):
        others = np.setdiff1d(np.arange(size_of(whole)), held)
        train = Batches(partial(_shuffled, whole, others, size))
        validation = Batches(partial(_in_order, whole, held, size))
        parts.append(replace(task, train=train, validation=validation, test=None))
    return parts


def errors_of(task: Task, params: Params, split: str) -> np.ndarray:
    """Return what each sample of a split costs, in its order, shape (samples,).

    That is its error in percent, 0 or 100, where the task measures one, else its loss.

    Raises:
        DataError: when the task does not have the split, or outputs do not go sample by sample along the first axis.
    """
    judge = task.measures.get("error", task.loss)
    params = named_as(params, first_names(task.module))
    params = beside(task.module, {name: params[name] for name in once(task.module, params).values()})
    costs = list[float]()
    with torch.no_grad(), mode(task.module, training=False):
        for batch in task.batches(split, 0):
            interrupts.check()
            outputs = task.outputs(params, batch)
            for row in range(size_of(batch)):
                one = rows_of(batch, row, row + 1)
                costs.append(float(judge(rows_of(outputs, row, row + 1), one)))
    return np.array(costs)


def _shuffled(whole: Batch, rows: np.ndarray, size: int, seed: int) -> Iterator[Batch]:
    """Yield the batches of a pass in a random order; a last sample alone goes with those before it."""
    order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).numpy()]
    return _cut(whole, order, size)


def _in_order(whole: Batch, rows: np.ndarray, size: int, seed: int) -> Iterator[Batch]:
    """Yield the batches of a pass in order."""
    return _cut(whole, rows, size)


def _cut(whole: Batch, rows: np.ndarray, size: int) -> Iterator[Batch]:
    """Yield batches of rows; batch normalization fails on one sample alone, which is why there is none at the end."""
    starts = list(range(0, len(rows), size))
    if len(starts) > 1 and len(rows) - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield _picked(whole, size_of(whole), torch.from_numpy(rows[start:stop]))


def _joined(parts: Sequence[Any]) -> Any:
    """Return batches as one.

    Raises:
        DataError: when they hold different things, or what is no tensor.
    """
    first = parts[0]
    if isinstance(first, Tensor):
        try:
            return torch.cat(list(parts)) if first.ndim else first
        except RuntimeError as error:
            raise DataError(f"folds need batches of one shape, which can be put together: {error}") from error
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple | list):
        return tuple(_joined(column) for column in zip(*parts, strict=True))
    raise DataError(f"folds need batches of tensors, not of {type(first).__name__}")


def _picked(part: Any, total: int, rows: Tensor) -> Any:
    """Return some rows of all that has ``total`` of them."""
    if isinstance(part, Tensor):
        return part.index_select(0, rows.to(part.device)) if part.ndim and len(part) == total else part
    if isinstance(part, Mapping):
        return {name: _picked(value, total, rows) for name, value in part.items()}
    return tuple(_picked(value, total, rows) for value in part)
