"""Epochs of another length than one pass over the training data."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count as counting
from itertools import islice

from laconic.errors import DataError
from laconic.training.batches import Batch, Batches
from laconic.training.loop import derive_seed
from laconic.training.task import Task


def in_batches(task: Task, count: int) -> Task:
    """Return the task with so many training batches an epoch: the first of a pass, or several passes, each shuffled.

    Raises:
        DataError: for fewer than one batch.
    """
    if count < 1:
        raise DataError(f"an epoch has at least one batch, not {count}")
    whole = task.split("train")

    def passes(seed: int) -> Iterator[Batch]:
        for number in counting():
            yield from whole.start(derive_seed(seed, number) if number else seed)

    return replace(task, train=Batches(lambda seed: islice(passes(seed), count), count))
