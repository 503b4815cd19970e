"""What a network is called with: batches of a task, or whatever a user has, as arguments that a graph can have too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.parametrized import evaluating
from laconic.training.batches import arguments_of, copied, tensors_in
from laconic.training.judges import KINDS, Kind, described
from laconic.training.task import Task

_FEWEST = 2
"""Samples of a call that a graph is traced on: torch takes an axis of length 1 for a constant."""


@final
@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call of a network, the samples along axis 0 of each tensor.

    Args:
        positional: in the order of ``forward``.
        named: by name.
    """

    positional: tuple[Any, ...]
    named: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Samples in the call: the length of its first tensor that has an axis."""
        return next((len(tensor) for tensor in self.tensors() if tensor.ndim), 0)

    def tensors(self) -> list[Tensor]:
        """Return the tensors in the order in which a graph has them as inputs."""
        return list(tensors_in((self.positional, self.named)))

    def of(self, module: nn.Module) -> Any:
        """Return the outputs of ``module``, without gradients."""
        with torch.no_grad():
            return module(*self.positional, **self.named)

    def first(self, rows: int) -> "Call":
        """Return the call of the first samples, repeated where there are fewer."""
        times = -(-rows // self.rows)
        parts = _each((self.positional, self.named), self.rows, lambda part: torch.cat([part] * times)[:rows])
        return Call(*parts)

    def traced(self) -> "Call":
        """Return the call that a graph is traced on: two samples, by which an axis of samples is told from a constant.

        >>> Call((torch.zeros(1, 3),), {}).traced().rows
        2
        """
        return self.first(_FEWEST)


def _each(part: Any, size: int, function: Any) -> Any:
    """Return ``part`` with ``function`` of each tensor that has ``size`` samples."""
    if isinstance(part, Tensor):
        return function(part) if part.ndim and len(part) == size else part
    if isinstance(part, Mapping):
        return {name: _each(value, size, function) for name, value in part.items()}
    if isinstance(part, tuple | list):
        return tuple(_each(value, size, function) for value in part)
    return part


@final
@dataclass(frozen=True, eq=False)
class Inputs:
    """Calls to calibrate on and calls to judge by.

    Args:
        seen: of the training split, where a task has it.
        judged: of the validation split, where a task has it; else the same.
        kind: of the outputs: "classification", "regression", or None where outputs shall tell.
    """

    seen: tuple[Call, ...]
    judged: tuple[Call, ...]
    kind: Kind | None = None

    @classmethod
    def of(
        cls, source: Any, module: nn.Module, *, samples: int = 1024, seed: int = 0, kind: Kind | None = None
    ) -> "Inputs":
        """Return the calls that ``source`` stands for.

        Args:
            source: a `Task`; or a batch, or a list of batches, each a tensor, a tuple of arguments, or a dict of them.
            module: that is called.
            samples: of each of the two, at most.
            seed: of the order of a task's training batches.
            kind: of the outputs; a task knows its own.

        Raises:
            DataError: where there are no samples, or inputs are NaN.
        """
        if kind not in (None, *KINDS):
            raise DataError(f"kind is 'classification' or 'regression', not {kind!r}")
        if not isinstance(source, Task):
            batches = source if isinstance(source, list) else [source]
            calls = _limited([_call(batch) for batch in batches], samples)
            return cls(calls, calls, kind)
        splits = {name: getattr(source, name) is not None for name in ("train", "validation", "test")}
        there = [name for name, has in splits.items() if has]
        if not there:
            raise DataError("the task has no split to take inputs from")
        judged = "validation" if splits["validation"] else there[0]
        seen, unseen = (_calls_of(source, split, samples, seed) for split in (there[0], judged))
        return cls(seen, unseen, kind or source.kind)


def _calls_of(task: Task, split: str, samples: int, seed: int) -> tuple[Call, ...]:
    """Return what the task's module is called with for the first samples of a split."""
    calls, left = list[Call](), samples
    for batch in task.batches(split, seed):
        interrupts.check()
        called = [Call(*arguments_of(task.module, batch))] if task.forward is None else _seen(task, batch)
        calls += called
        left -= sum(call.rows for call in called)
        if left <= 0:
            break
    return _limited([Call(copied(call.positional), copied(call.named)) for call in calls], samples)


def _seen(task: Task, batch: Any) -> list[Call]:
    """Return the calls of the module that the task's own ``forward`` makes for a batch."""
    calls = list[Call]()
    hook = task.module.register_forward_pre_hook(
        lambda _, positional, named: calls.append(Call(positional, dict(named))), with_kwargs=True
    )
    try:
        assert task.forward is not None, "asked for a forward of the task's own"
        with torch.no_grad(), evaluating(task.module):
            task.forward(task.module, batch)
    finally:
        hook.remove()
    if not calls:
        raise DataError("the task's forward does not call its module: there is nothing to export")
    return calls


def _call(batch: Any) -> Call:
    """Return the call that a user's batch stands for."""
    if isinstance(batch, Mapping):
        return Call((), dict(batch))
    return Call(tuple(batch) if isinstance(batch, tuple) else (batch,), {})


def _limited(calls: Sequence[Call], samples: int) -> tuple[Call, ...]:
    """Return the first calls, of so many samples in all at most, checked."""
    kept, left = list[Call](), samples
    for number, call in enumerate(calls):
        if not call.tensors():
            raise DataError(f"batch {number} of the inputs, {described(call.positional or call.named)}, has no tensor")
        if not call.rows:
            raise DataError(f"batch {number} of the inputs, {described(call.positional or call.named)}, is empty")
        if any(bool(tensor.isnan().any()) for tensor in call.tensors()):
            raise DataError(f"batch {number} of the inputs has values that are NaN")
        kept.append(call if call.rows <= left else call.first(left))
        left -= kept[-1].rows
        if left <= 0:
            break
    if not kept:
        raise DataError("there are no inputs to export with: give a batch, a list of batches, or a task")
    return tuple(kept)
