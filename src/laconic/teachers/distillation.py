"""A task whose loss asks a network to say what another one says, too: the original, of itself compressed.

    L(w) ← (1 − share) L(w) + share · KL(reference ‖ network)

Where a network has few bytes it can have few errors on training images long before it is any good elsewhere. What the
reference says of each image, sure or not, holds it to more than the label does.

Source: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015), at temperature 1.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.models.params import Params
from laconic.training.batches import Batch
from laconic.training.task import Task, mode


def alike(task: Task, reference: Params, share: float) -> Task:
    """Return the task with the term in its loss; measures and splits are the task's own.

    Args:
        task: of a kind, "classification" or "regression", whose outputs are one tensor; for a regression the term is
            the mean squared distance.
        reference: weights of the task's module, which stay as they are; it is in evaluation mode where it speaks.
        share: of the term, 0 for none.

    Raises:
        DataError: for a task of no kind, and, in training, for outputs that are no tensor.
    """
    if not share:
        return task
    if task.kind is None:
        raise DataError("to be alike a network has to say something of a kind: Task(..., kind='classification')")

    def loss(outputs: Any, batch: Batch) -> Tensor:
        with torch.no_grad(), mode(task.module, training=False):
            wanted = task.outputs(reference, batch)
        if not (isinstance(outputs, Tensor) and isinstance(wanted, Tensor)):
            raise DataError(f"to be alike a network gives one tensor, not a {type(outputs).__name__}")
        own = task.loss(outputs, batch) if share < 1 else 0.0
        return (1 - share) * own + share * _distance(outputs, wanted, task)

    return replace(task, loss=loss)


def _distance(outputs: Tensor, wanted: Tensor, task: Task) -> Tensor:
    """Return how far outputs are from those that are wanted, as a mean over the samples, 0-d."""
    if task.kind == "regression":
        return F.mse_loss(outputs, wanted)
    said, meant = outputs.log_softmax(1), wanted.log_softmax(1)
    return (meant.exp() * (meant - said)).sum(1).mean()
