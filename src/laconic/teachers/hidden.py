"""What layers within a network write, by their names: hooks that are always taken off again."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.models.params import unwrapped
from laconic.teachers.teacher import Given, Teacher, teachers_of
from laconic.training.batches import SPLITS, Batch, arguments_of
from laconic.training.task import Task

_NEAR = 3
"""Names that an error proposes."""

_CARRIED = "laconic_hidden"
"""Attribute of outputs: what layers have written on the way to them."""


class Reached(BaseException):
    """The last layer that was asked for has written: nobody's ``except Exception`` stops it on the way out."""


def hidden_of(teacher: Teacher, batch: Batch, layers: Collection[str]) -> dict[str, Tensor]:
    """Return what layers of a teacher write, in evaluation mode; nothing after the last of them is run.

    Args:
        teacher: as `teacher_of` gives it, without a memory of what it says, for that knows no layers.
        batch: as of its task.
        layers: as of `written`.

    Raises:
        DataError: as `written`, and `Teacher.says`.
    """
    with written(teacher.module, layers, stop=True, whose=teacher.name) as found, suppress(Reached):
        teacher.says(batch)
    return dict(found)


def tried(teacher: Teacher, batch: Batch, layers: Collection[str]) -> dict[str, Tensor]:
    """Return `hidden_of` a first batch, after the whole network has run: what follows the last layer may run it again.

    Raises:
        DataError: as there, and for what is no finite number.
    """
    with written(teacher.module, layers, whose=teacher.name) as found:
        try:
            teacher.says(batch)
        except DataError:  # what comes after these layers is never run again, and may fail
            if len(found) < len(set(layers)):
                raise
    for name, tensor in found.items():
        if bad := int(torch.count_nonzero(~torch.isfinite(tensor))):
            raise DataError(
                f"{teacher.name} says NaN or infinity: {bad} of {tensor.numel()} values that layer {name!r} writes; "
                "look at its weights"
            )
    return dict(found)


def teacher_of(task: Task, given: Given) -> Teacher:
    """Return one teacher of a task's network, however it is given, that runs whenever it is asked.

    Raises:
        DataError: for what is no teacher, or more than one.
    """
    first, *others = teachers_of(task, given)
    if others:
        raise DataError(f"layers are those of one teacher, not of {1 + len(others)}")
    return replace(first, memory=None)


@contextmanager
def written(
    module: nn.Module, layers: Collection[str], *, stop: bool = False, whose: str = "the network"
) -> Iterator[dict[str, Tensor]]:
    """Give a dict that is filled, while the block runs the module once, with what its ``layers`` write.

    The tensors are copies with the way of gradients: what follows a layer may change its outputs in place.

    Args:
        module: whose layers they are.
        layers: names as `torch.nn.Module.named_modules` has them; "" is the whole.
        stop: raise `Reached` as soon as the last of them has written; that one runs again is not seen then.
        whose: layers they are, in errors.

    Raises:
        DataError: for a name that the module lacks; for a layer that has not run, that runs several times in one pass,
            or that writes what is no tensor.
    """
    require_layers(module, layers, whose)
    found, again = dict[str, Tensor](), set[str]()

    def keep(name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            way = (
                f"name a layer within it, {inner} say"
                if (inner := _first_within(name, layer))
                else "name another layer"
            )
            raise DataError(f"layer {name!r} writes a {type(output).__name__}, not one tensor; {way}")
        if name in found:
            again.add(name)
            return
        found[name] = output.clone()
        if stop and len(found) == len(set(layers)):
            raise Reached

    hooks = [unwrapped(module).get_submodule(name).register_forward_hook(partial(keep, name)) for name in set(layers)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
    if again:
        raise DataError(f"layer {min(again)!r} of {whose} runs several times in one pass; name a layer that runs once")
    if idle := [name for name in layers if name not in found]:
        raise DataError(f"layer {idle[0]!r} has not run, though the network has: its forward does not call it")


def _first_within(name: str, layer: nn.Module) -> str:
    """Return the name of the first layer within another, nothing where there is none."""
    inner = next((one for one, _ in layer.named_children()), "")
    return repr(f"{name}.{inner}" if name else inner) if inner else ""


def require_layers(module: nn.Module, layers: Collection[str], whose: str = "the network") -> None:
    """Raise `DataError`, which proposes near names, for a layer that ``module`` lacks."""
    known = [name for name, _ in unwrapped(module).named_modules()]
    for name in layers:
        if not isinstance(name, str):
            raise DataError(f"a layer of {whose} goes by its name in named_modules(), not by {name!r}")
        if name not in known:
            close = difflib.get_close_matches(name, known, _NEAR) or [k for k in known if k and "." not in k]
            raise DataError(f"{whose} has no layer {name!r}; near are {', '.join(close) or 'none'}")


def first_batch(task: Task) -> Batch:
    """Return the first batch of the first split that there is.

    Raises:
        DataError: where the task has none.
    """
    for split in SPLITS:
        if getattr(task, split) is not None and (batch := next(task.batches(split, 0), None)) is not None:
            return batch
    raise DataError("the task has no batches on which layers could be looked at")


def called(task: Task, module: nn.Module, batch: Batch) -> Any:
    """Return what a task's module says when it is called as the task does, with the weights that it has now."""
    if task.forward is not None:
        return task.forward(module, batch)
    arguments, named = arguments_of(module, batch)
    return module(*arguments, **named)


def reading(task: Task, layers: Collection[str], whose: str = "the network") -> Task:
    """Return the task whose outputs carry what ``layers`` write, for its losses to look at by `carried`.

    Outputs are the task's own otherwise: whatever takes them for a tensor may go on to do so.

    Args:
        task: whose outputs are one tensor.
        layers: as of `written`.
        whose: layers they are, in errors.

    Raises:
        DataError: for a name that the module lacks; and, when the module is run, as `written`.
    """
    require_layers(task.module, layers, whose)

    def forward(module: nn.Module, batch: Batch) -> Tensor:
        with written(module, layers, whose=whose) as found:
            outputs = called(task, module, batch)
        return carrying(outputs, found)

    return replace(task, forward=forward)


def carrying(outputs: Any, found: Mapping[str, Tensor]) -> Tensor:
    """Return ``outputs`` with ``found`` beside what they carry already.

    Raises:
        DataError: for outputs that are no tensor.
    """
    if not isinstance(outputs, Tensor):
        raise DataError(f"to learn from hidden layers a network gives one tensor, not a {type(outputs).__name__}")
    setattr(outputs, _CARRIED, {**getattr(outputs, _CARRIED, {}), **found})
    return outputs


def carried(outputs: Tensor) -> Mapping[str, Tensor]:
    """Return what outputs carry.

    Raises:
        DataError: when they carry nothing: they were made anew of what the task gave.
    """
    found: Mapping[str, Tensor] | None = getattr(outputs, _CARRIED, None)
    if found is None:
        raise DataError("a loss that looks at hidden layers is given the very outputs of its task, not a copy of them")
    return found
