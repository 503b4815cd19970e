"""A task in which a network learns from teachers, too: a task in, a task out.

    L(w) ← α · L(w) + β · H(q, σ(z_w/τ))        q: what the teachers say, softened (`laconic.teachers.softening`)

What a teacher says of each sample, sure or not, holds a network to more than the label does. Where it has few weights,
or few bytes, it can have few errors on training samples long before it is any good elsewhere.

`distilled` is for teachers of any kind: training minimises this, while `Task.evaluate`, importances and calibration go
on by the task's own loss. `alike` is the same at temperature 1 with a network's own original for a teacher, as a KL and
as the loss itself.

Source: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.params import Params, params_of
from laconic.teachers.memory import remembered
from laconic.teachers.softening import Distillation
from laconic.teachers.teacher import Given, Teacher, teachers_of
from laconic.training.batches import Batch, size_of
from laconic.training.judges import Judge, Kind, counting, described, ignored_by, require_classes, rows_of
from laconic.training.task import Task, mode


@final
@dataclass(frozen=True, eq=False)
class Taught:
    """A loss with what teachers say: (outputs, batch) → mean over the batch, 0-d.

    Args:
        loss: of outputs and batch, which α weighs; it is not taken where α is 0.
        teachers: one or several.
        how: α, β, τ.
        kind: of outputs.
        ignored: the target of positions that do not count, such as padding, if there is one.
    """

    loss: Judge
    teachers: tuple[Teacher, ...]
    how: Distillation
    kind: Kind
    ignored: int | None = None

    def __call__(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the loss.

        Raises:
            DataError: when outputs cannot be compared with those of a teacher, or these are no finite numbers.
        """
        own = self.how.alpha * self.loss(outputs, batch) if self.how.alpha else 0.0
        wanted = [teacher.says(batch) for teacher in self.teachers]
        for teacher, said in zip(self.teachers, wanted, strict=True):
            _require_comparable(teacher, outputs, said)
        if not self.how.logits:
            require_classes(outputs, self.kind)
        if self.kind == "classification" and (counts := counting(batch, outputs, self.ignored)) is not None:
            if not bool(counts.any()):
                nothing: Tensor = 0 * outputs.sum()
                return own + nothing
            outputs, wanted = rows_of(outputs, counts), [rows_of(said, counts) for said in wanted]
        return own + self.how.term(outputs, wanted, self.kind)


def distilled(
    task: Task, teacher: Given | Sequence[Given], how: Distillation | None = None, *, cache: str | Path | None = None
) -> Task:
    """Return the task of which training minimises α L + β H, a teacher's outputs beside the targets.

    Everything else is the task's own: measures, splits, kind, and the loss, by which `Task.evaluate` judges, validation
    chooses and importances are measured. A task that is distilled twice has both terms. Positions whose target is the
    ``ignore_index`` of a cross-entropy, −100 unless told, such as padding, are in neither term.

    Args:
        task: with training data, of a kind: "classification", whose outputs are logits (samples, classes, ...), or
            "regression".
        teacher: a module with its own weights; parameters and buffers by name, of the task's module; a `Teacher`, for a
            module with other weights or a way to call it; or a list of these, of which the mean teaches. It is in
            evaluation mode and stays as it is.
        how: α, β, τ and all else; α = 0.1, β = 0.9, τ = 4 unless given.
        cache: a folder that keeps what the teacher says of each training sample: no later pass runs it. For training
            data that are not augmented; ``notes`` say where it does not help (`laconic.teachers.memory`).

    Raises:
        DataError: for a task of no kind or without training data, and, on the first batch, for a teacher that fails,
            says no finite numbers, or has another number of classes, and for logits of a single class.

    >>> x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
    >>> task = Task(torch.nn.Linear(4, 3), [(x, y)], torch.nn.CrossEntropyLoss())
    >>> taught = distilled(task, torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3)))
    >>> taught.objective.how
    Distillation(alpha=0.1, beta=0.9, temperature=4.0, squared=True, mean='outputs', divergence=False, logits=False)
    """
    if not isinstance(how, Distillation | None):
        raise DataError(f"how is a laconic.Distillation, with alpha, beta and temperature, not {how!r}")
    if not isinstance(cache, str | Path | None):
        raise DataError(f"cache is the path of a folder, not {cache!r}")
    how, teachers = how or Distillation(), teachers_of(task, teacher)
    kind = _kind(task, "to be taught")
    first = next(task.batches("train", 0), None)
    if first is None:
        raise DataError("train has no batches on which a teacher could say something")
    taught = Taught(task.minimised, teachers, how, kind, ignored_by(task.loss))
    _require_teaching(task, taught, first)
    if how.alpha == 1 and how.beta == 0:
        return task
    notes = task.notes
    if cache is not None:
        teachers = tuple(replace(one, memory=remembered(one.says, one.digest, task, Path(cache))) for one in teachers)
        notes = (*notes, *_told(task, teachers))
    return replace(task, objective=replace(taught, teachers=teachers), notes=notes)


def alike(task: Task, reference: Params, share: float) -> Task:
    """Return the task with a loss of which a share is KL(reference ‖ network); measures and splits are the task's own.

        L(w) ← (1 − share) L(w) + share · KL(reference ‖ network)

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
    kind = _kind(task, "to be alike")
    how = Distillation(1 - share, share, temperature=1.0, divergence=True)
    original = Teacher(task.module, reference, task.forward, "the original").frozen()
    return replace(task, loss=Taught(task.minimised, (original,), how, kind, ignored_by(task.loss)), objective=None)


def _kind(task: Task, why: str) -> Kind:
    """Return what outputs are.

    Raises:
        DataError: where the task does not say.
    """
    if task.kind is None:
        raise DataError(f"{why} a network has to say something of a kind: Task(..., kind='classification')")
    return task.kind


def _require_comparable(teacher: Teacher, outputs: Any, said: Tensor) -> None:
    """Check that outputs are like those of a teacher.

    Raises:
        DataError: when they are not.
    """
    if not isinstance(outputs, Tensor):
        raise DataError(
            f"what is taught gives one tensor, as {teacher.name} does, not {described(outputs)}; a Task's forward "
            "can pick it"
        )
    if outputs.shape == said.shape:
        return
    classes = outputs.ndim == said.ndim > 1 and outputs.shape[0] == said.shape[0]
    what = f"{said.shape[1]} classes where the network has {outputs.shape[1]}" if classes else "other outputs"
    raise DataError(
        f"{teacher.name} has {what}: {described(said)}, not {described(outputs)}; both name the same things"
    )


def _require_teaching(task: Task, loss: Taught, first: Batch) -> None:
    """Check on the first batch that a network can be taught.

    Raises:
        DataError: when it cannot.
    """
    module = task.module
    counts = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad(), mode(module, training=False):
        outputs = task.outputs({**params_of(module), **counts}, first)
        value = float(loss(outputs, first))
    if not math.isfinite(value):
        raise DataError(f"the loss of the first batch is {value} beside a teacher, for outputs {described(outputs)}")


def _told(task: Task, teachers: Sequence[Teacher]) -> list[str]:
    """Return a note where a memory does not know the samples of another pass, of which all are looked at."""
    memory, known, count = min((one.memory for one in teachers if one.memory), key=lambda one: len(one.rows)), 0.0, 0
    for batch in task.batches("train", 1):
        interrupts.check()
        size = size_of(batch)
        known, count = known + size * memory.share(batch), count + size
    if known == count:
        return []
    return [
        f"the cache knows {math.floor(100 * known / count)}% of the samples of another pass, for training data are "
        "augmented or drawn anew: of the others the teacher is asked each time"
    ]
