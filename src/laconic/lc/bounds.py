"""How far a network may fall behind the original on the validation split, and how far one does: a drop, or a KL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.quality import TRAINED_ON, Quality, dropped, wrongs
from laconic.calibrate.samples import output_rows
from laconic.errors import DataError, PlanError
from laconic.models.params import Params, beside
from laconic.quantize.budget import Budget
from laconic.training.batches import size_of
from laconic.training.judges import distance
from laconic.training.task import Task, mode

Judge = Callable[[Params], Quality]
"""Network → what it reaches of the quality that is asked."""


@final
@dataclass(frozen=True, eq=False)
class Bound:
    """What a budget of outputs asks of a network on the validation split: see `of`.

    Args:
        task: with a validation split.
        budget: a drop or a KL.
        before: of the original: for a drop the error of each sample, for a KL its rows of logits.
        samples: how many there are.
    """

    task: Task
    budget: Budget
    before: Tensor
    samples: int

    @classmethod
    def of(cls, task: Task, reference: Params, budget: Budget) -> "Bound":
        """Return what is asked, beside what the original does.

        Args:
            task: with a validation split; for a drop with a measure "error", too.
            reference: the original's parameters and buffers.
            budget: a drop or a KL.

        Raises:
            PlanError: for a KL of a task that is none of classification.
            DataError: when there is no validation split, nothing in it, or no error.
        """
        if budget.drop is not None:
            before = wrongs(task, reference)
            return cls(task, budget, before, len(before))
        if task.kind != "classification":
            raise PlanError(
                f"{budget} is one of logits, and the task does not say that its outputs are: give "
                "Task(..., kind='classification'), or ask for a size"
            )
        before, samples = _logits(task, reference)
        return cls(task, budget, before, samples)

    def __call__(self, params: Params) -> Quality:
        """Return what a network reaches of it."""
        if self.budget.drop is not None:
            return dropped(self.before, wrongs(self.task, params), self.budget.drop)
        apart = distance(self.before, _logits(self.task, params)[0], "classification")
        return Quality("kl", self.budget.kl or 0.0, apart, 0.0, self.samples, "validation", TRAINED_ON)


def told(quality: Quality) -> Mapping[str, float]:
    """Return the figures of a quality by name: "drop" and "standard error", or "kl"."""
    error = {"standard error": quality.standard_error} if quality.measure == "drop" else {}
    return {quality.measure: quality.value, **error}


def _logits(task: Task, params: Params) -> tuple[Tensor, int]:
    """Return the logits for the validation split, a row each, and the number of its samples."""
    logits, samples = list[Any](), 0
    params = beside(task.module, params)
    with torch.no_grad(), mode(task.module, training=False):
        for batch in task.batches("validation", 0):
            interrupts.check()
            logits.append(output_rows(task.outputs(params, batch), "classification")[0].cpu())
            samples += size_of(batch)
    if not samples:
        raise DataError("the validation split has no samples: a KL has nothing to be measured on")
    return torch.cat(logits), samples
