"""Who teaches: a network of any width, depth or family that reads the same batches, and what it says of them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.models.params import Params, beside, params_of, typed_as
from laconic.teachers.lasting import lasting, parts_of, weights_digest
from laconic.teachers.memory import Memory
from laconic.training.batches import Batch, Batches, arguments_of
from laconic.training.judges import described
from laconic.training.task import Task, mode


@final
@dataclass(frozen=True, eq=False)
class Teacher:
    """A network that says what it takes each sample for: in evaluation mode, without gradients.

    Args:
        module: the network, on the device of the one that is taught. It stays as it is; it may be the one that is
            taught, or share parts with it, for a task takes a copy of the weights (`frozen`).
        params: its parameters and buffers by name; the module's own unless given.
        forward: (module, batch) → outputs, in place of calling the module, as `laconic.Task` has it.
        name: in errors.
        memory: what it has said before, if that is kept.

    Raises:
        DataError: when the module is none, or weights are no tensors by name.

    >>> Teacher(nn.Linear(2, 3)).says((torch.ones(4, 2), torch.zeros(4))).shape
    torch.Size([4, 3])
    """

    module: nn.Module
    params: Params | None = None
    forward: Callable[[Any, Batch], Any] | None = None
    name: str = "the teacher"
    memory: Memory | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise DataError(f"a teacher is a torch.nn.Module, or weights of the task's, not {self.module!r}")
        if self.params is None:
            return
        each = self.params.values() if isinstance(self.params, Mapping) else [self.params]
        if strange := [one for one in each if not isinstance(one, Tensor)]:
            raise DataError(f"weights of {self.name} are tensors by name, as a state_dict, not {strange[0]!r}")

    def says(self, batch: Batch) -> Tensor:
        """Return its outputs for a batch, a row each sample.

        Raises:
            DataError: when they are no tensor of finite numbers, or it fails.
        """
        if self.memory is not None and (known := self.memory.of(batch)) is not None:
            return known
        try:
            with torch.no_grad(), mode(self._task.module, training=False):
                outputs = self._run(batch)
        except Exception as failure:
            raise DataError(f"{self.name} fails on a batch, {described(batch)}: {failure}") from failure
        if not (isinstance(outputs, Tensor) and outputs.is_floating_point()):
            raise DataError(f"{self.name} gives {described(outputs)}, not one tensor of logits or values")
        if not bool(torch.isfinite(outputs).all()):
            bad = int(torch.count_nonzero(~torch.isfinite(outputs)))
            raise DataError(
                f"{self.name} says NaN or infinity: {bad} of {outputs.numel()} outputs; look at its weights"
            )
        return outputs

    def frozen(self) -> "Teacher":
        """Return the same with weights of its own, that stay as they are whatever becomes of the module's.

        A student's own module can teach it so: while a student runs, its module has other weights.
        """
        if isinstance(self.module, torch.jit.ScriptModule):  # cannot be run with other weights than it has
            return replace(self, module=copy.deepcopy(self.module))
        return replace(self, params={name: tensor.detach().clone() for name, tensor in self._weights.items()})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what it is: weights and buffers, the parts of the module, the function that calls it.

        Raises:
            DataError: where nothing lasting is known of the function, so that the teacher cannot be known again.
        """
        try:
            way = lasting(self.forward)
        except DataError as error:
            raise DataError(f"what {self.name} says cannot be kept, for its forward has no digest: {error}") from error
        text = f"{parts_of(self._task.module)} {way} {weights_digest(self._weights)}"
        return sha256(text.encode()).hexdigest()

    @cached_property
    def _task(self) -> Task:
        """What calls the module."""
        return Task(self.module, Batches(lambda seed: ()), _nothing, forward=self.forward)

    @cached_property
    def _run(self) -> Callable[[Batch], Any]:
        """What gives its outputs; its own weights are where the module has them, and need not be put there."""
        module = self._task.module
        if self.params is not None:
            return self._task.running(self._weights)
        return partial(self.forward, module) if self.forward else partial(_called, module)

    @cached_property
    def _weights(self) -> Params:
        """Its weights by name."""
        own = self._task.module
        return beside(own, typed_as(own, params_of(own) if self.params is None else self.params))


Given = nn.Module | Params | Teacher
"""A teacher as it is given: a network with its weights, weights of the task's own network, or either with more said."""


def teachers_of(task: Task, given: Given | Sequence[Given]) -> tuple[Teacher, ...]:
    """Return teachers as such, with weights as they are now; weights alone are those of the task's own network.

    Raises:
        DataError: for what is none, and where there are none; for what is no task.
    """
    if not isinstance(task, Task):
        raise DataError(f"what is taught is a laconic.Task, a network with its data and its loss, not {task!r}")
    every = [given] if isinstance(given, nn.Module | Mapping | Teacher) else given
    if not isinstance(every, Sequence) or isinstance(every, str) or not every:
        raise DataError(
            f"a teacher is a module, weights of the task's module by name, or a list of these, not {given!r}"
        )
    numbered = len(every) > 1
    return tuple(
        (
            one if isinstance(one, Teacher) else _teacher(task, one, f"teacher {at}" if numbered else "the teacher")
        ).frozen()
        for at, one in enumerate(every, 1)
    )


def _teacher(task: Task, given: nn.Module | Params, name: str) -> Teacher:
    """Return one teacher."""
    if isinstance(given, Mapping):
        return Teacher(task.module, given, task.forward, name)
    return Teacher(given, name=name)


def _called(module: nn.Module, batch: Batch) -> Any:
    """Return what a module gives for a batch."""
    positional, named = arguments_of(module, batch)
    return module(*positional, **named)


def digest_of(teachers: Sequence[Teacher]) -> str:
    """Return the SHA-256 of several teachers in their order, that of one alone being its own."""
    digests = [one.digest for one in teachers]
    return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()


def _nothing(outputs: Any, batch: Batch) -> Tensor:
    """Return a loss that nobody takes."""
    return torch.zeros(())
