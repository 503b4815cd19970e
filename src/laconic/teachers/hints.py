"""Hints: a student learns, up to a layer within it, what a layer within its teacher writes.

    min over w_g, r   ½ 1/N Σ_n ‖u_h(x_n) − r(v_g(x_n; w_g))‖²

u_h: the teacher's hint layer; v_g: the student up to its guided layer, with the weights w_g; r: a regressor where the
two differ in shape, thrown away afterwards; the norm is over all units and places. It is the first of two stages: the
second trains the whole, by its own task, by distillation or by any other, from the weights that are left.

Regressors: between maps, as the source has it, a convolution whose kernel has the side that makes one map as large as
the other, k = side of v − side of u + 1 in each direction, 1 × 1 where they are equally large; else a dense layer.
The stage is a task like any other: its module has the parameters of the student and of the regressor,
``regressor.*``, and nothing after the guided layer is run or moved.

Source: Romero, Ballas, Kahou, Chassang, Gatta & Bengio, "FitNets: hints for thin deep nets" (ICLR 2015); the
mean over the samples is the authors' program's.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.models.params import Params, params_of
from laconic.teachers.hidden import Reached, called, first_batch, hidden_of, teacher_of, tried, written
from laconic.teachers.teacher import Given, Teacher
from laconic.training.batches import Batch, size_of
from laconic.training.task import Task

PREFIX = "regressor."
"""What names of a regressor's parameters begin with."""

_CONVOLUTIONS: dict[int, Any] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
"""Axes of a batch of maps → the convolution over them."""


def hinted(
    task: Task, teacher: Given, hint: str, guided: str, units: Sequence[int] | None = None, seed: int = 0
) -> Task:
    """Return the task of predicting a teacher's hint layer by a student's guided layer: stage 1.

    ``params_of(stage.module)`` are the first weights, the student's own among them; `without_regressor` takes of what
    training gives those of the student.

    Args:
        task: of the student: its module and batches are taken, its loss is not.
        teacher: whose layer is predicted, as `laconic.distilled` takes one.
        hint: the teacher's layer.
        guided: the student's layer.
        units: channels of the hint layer that count (`laconic.teachers.neurons`); all unless told.
        seed: of the regressor's first weights.

    Raises:
        DataError: for a name that is none of a layer, for a layer that runs several times, for a teacher of NaN or
            infinity, for units that the hint layer lacks, and for shapes that no regressor leads between: all before
            training, with both shapes.
    """
    asked, batch = teacher_of(task, teacher), first_batch(task)
    wanted = _of_units(tried(asked, batch, [hint])[hint], units, hint)
    given = tried(Teacher(task.module, forward=task.forward, name="the student"), batch, [guided])[guided]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        regressor = _regressor(tuple(given.shape), tuple(wanted.shape), f"{hint!r} of the teacher", f"{guided!r}")
    device = given.device
    regressor = None if regressor is None else regressor.to(device=device, dtype=given.dtype)

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        target = _of_units(hidden_of(asked, batch, [hint])[hint], units, hint)
        return (outputs - target).square().sum() / (2 * size_of(batch))

    splits: dict[str, Any] = {"train": task.train, "validation": task.validation, "test": task.test}
    module = _UpTo(task, guided, regressor)
    return Task(module, loss=loss, forward=_run, **splits, metadata=task.metadata, still=task.still)


def without_regressor(params: Params) -> dict[str, Tensor]:
    """Return the weights of the student alone."""
    return {name: tensor for name, tensor in params.items() if not name.startswith(PREFIX)}


def with_student(stage: Task, student: Params) -> dict[str, Tensor]:
    """Return the first weights of a stage whose student has weights of its own."""
    return {**params_of(stage.module), **student}


@final
class _UpTo(nn.Module):
    """A student of the same parts and names, which is run up to a layer, and a regressor of what that writes."""

    task: Task
    guided: str

    def __init__(self, task: Task, guided: str, regressor: nn.Module | None) -> None:
        super().__init__()
        inner = task.module
        if PREFIX[:-1] in dict(inner.named_children()):
            raise DataError("the student has a part named 'regressor', as the one of the hint is; give it another name")
        self.__dict__.update(task=task, guided=guided)  # not one of its own parts
        for kind in ("_parameters", "_buffers", "_non_persistent_buffers_set"):
            self.__dict__[kind] = getattr(inner, kind)
        self._modules = {**inner._modules, **({PREFIX[:-1]: regressor} if regressor is not None else {})}
        self.training = inner.training

    def forward(self, batch: Batch) -> Tensor:
        """Return what the regressor says of the guided layer."""
        inner = self.task.module
        before, inner.training = inner.training, self.training  # its parts are ours
        try:
            with written(inner, [self.guided], stop=True) as found, suppress(Reached):
                called(self.task, inner, batch)
        finally:
            inner.training = before
        regressor, read = self._modules.get(PREFIX[:-1]), found[self.guided]
        return read if regressor is None else regressor(read)


def _run(module: _UpTo, batch: Batch) -> Tensor:
    """Return what a stage's module says: it is given whole batches, as the student's task may want them."""
    return module(batch)  # type: ignore[no-any-return]


def _of_units(written: Tensor, units: Sequence[int] | None, layer: str) -> Tensor:
    """Return some channels of what a layer has written.

    Raises:
        DataError: for channels that it lacks, and for none.
    """
    if units is None:
        return written
    whole = isinstance(units, Sequence) and all(isinstance(one, Integral) for one in units)
    if not whole or not units or min(units) < 0 or max(units) >= written.shape[1]:
        raise DataError(f"units of {layer!r} are numbers from 0 to {written.shape[1] - 1}, not {units!r}")
    return written[:, list(units)]


def _regressor(given: tuple[int, ...], wanted: tuple[int, ...], hint: str, guided: str) -> nn.Module | None:
    """Return what leads from a shape (batch, channels, ...) to another, None where they are the same.

    Raises:
        DataError: where no convolution makes one map as large as the other.
    """
    if given[1:] == wanted[1:]:
        return None
    if len(given) != len(wanted) or len(given) not in _CONVOLUTIONS:
        dense = nn.Linear(math.prod(given[1:]), math.prod(wanted[1:]))
        return nn.Sequential(nn.Flatten(), dense, nn.Unflatten(1, wanted[1:]))
    kernel = tuple(own - theirs + 1 for own, theirs in zip(given[2:], wanted[2:], strict=True))
    if min(kernel) < 1:
        raise DataError(
            f"the hint layer {hint} writes {wanted}, the guided layer {guided} {given}: no convolution makes maps "
            "larger; name a guided layer whose maps are at least as large"
        )
    convolution: nn.Module = _CONVOLUTIONS[len(given)](given[1], wanted[1], kernel)
    return convolution
