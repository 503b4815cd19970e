"""What layers within a network write, by their names: hooks that are always taken off again."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.models.params import Params, beside, params_of
from laconic.training.batches import SPLITS, Batch, arguments_of
from laconic.training.task import Task, mode

_NEAR = 3
"""Names that an error proposes."""

_CARRIED = "laconic_hidden"
"""Attribute of outputs: what layers have written on the way to them."""


class Reached(BaseException):
    """The last layer that was asked for has written: nobody's ``except Exception`` stops it on the way out."""


@final
@dataclass(frozen=True, eq=False)
class Teacher:
    """A network that others learn from: in evaluation mode wherever it is asked, its weights without gradients.

    Args:
        task: whose module it is, and how that is called; its batches are not taken.
        params: weights and buffers of the module, which stay as they are.
    """

    task: Task
    params: Params

    @classmethod
    def of(cls, task: Task, params: Params | None = None) -> "Teacher":
        """Return the teacher with ``params``, those of the task's module unless given, where the module is."""
        return cls(task, beside(task.module, params_of(task.module) if params is None else params))

    def outputs(self, batch: Batch, *, gradients: bool = False) -> Any:
        """Return what it says; with ``gradients`` as a function of inputs that require them."""
        with torch.set_grad_enabled(gradients), mode(self.task.module, training=False):
            return self.task.outputs(self.params, batch)

    def hidden(self, batch: Batch, layers: Collection[str]) -> dict[str, Tensor]:
        """Return what ``layers`` write; nothing after the last of them is run.

        Raises:
            DataError: as `written`.
        """
        with torch.no_grad(), mode(self.task.module, training=False):
            with written(self.task.module, layers, stop=True) as found, suppress(Reached):
                self.task.outputs(self.params, batch)
            return dict(found)


@contextmanager
def written(module: nn.Module, layers: Collection[str], *, stop: bool = False) -> Iterator[dict[str, Tensor]]:
    """Give a dict that is filled, while the block runs the module once, with what its ``layers`` write.

    The tensors are copies with the way of gradients: what follows a layer may change its outputs in place.

    Args:
        module: whose layers they are.
        layers: names as `torch.nn.Module.named_modules` has them; "" is the whole.
        stop: raise `Reached` as soon as the last of them has written.

    Raises:
        DataError: for a name that the module lacks; for a layer that has not run, that runs several times in one pass,
            or that writes what is no tensor.
    """
    require_layers(module, layers)
    found = dict[str, Tensor]()

    def keep(name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise DataError(f"layer {name!r} writes a {type(output).__name__}, not one tensor; name a layer within it")
        if name in found:
            raise DataError(f"layer {name!r} runs several times in one pass; name a layer that runs once")
        found[name] = output.clone()
        if stop and len(found) == len(set(layers)):
            raise Reached

    hooks = [module.get_submodule(name).register_forward_hook(partial(keep, name)) for name in set(layers)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
    if idle := [name for name in layers if name not in found]:
        raise DataError(f"layer {idle[0]!r} has not run, though the network has: its forward does not call it")


def require_layers(module: nn.Module, layers: Collection[str]) -> None:
    """Raise `DataError`, which proposes near names, for a layer that ``module`` lacks."""
    known = [name for name, _ in module.named_modules()]
    for name in layers:
        if name not in known:
            close = difflib.get_close_matches(name, known, _NEAR) or [k for k in known if k and "." not in k]
            raise DataError(f"the network has no layer {name!r}; near are {', '.join(close) or 'none'}")


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


def reading(task: Task, layers: Collection[str]) -> Task:
    """Return the task whose outputs carry what ``layers`` write, for its losses to look at by `carried`.

    Outputs are the task's own otherwise: whatever takes them for a tensor may go on to do so.

    Args:
        task: whose outputs are one tensor.
        layers: as of `written`.

    Raises:
        DataError: for a name that the module lacks; and, when the module is run, as `written`.
    """
    require_layers(task.module, layers)

    def forward(module: nn.Module, batch: Batch) -> Tensor:
        with written(module, layers) as found:
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
