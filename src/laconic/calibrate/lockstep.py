"""A network that runs all its samples side by side: each batch waits before a layer until all are there.

So the network is run once, however many layers there are: what is before a layer has been run when its weight is
chosen, and runs with the new weight from there on. Each batch has a thread of its own, of which one runs at a time.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from threading import Semaphore, Thread, current_thread
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic import interrupts
from laconic.calibrate.meeting import Call, Inputs, Meeting, Place, Reached, uses_of, watching
from laconic.errors import DataError
from laconic.models.params import Params, first_names
from laconic.training.batches import Batch, arguments_of, copied, counted, size_of, tensors_in
from laconic.training.judges import described
from laconic.training.task import Task

ROOM = 1 << 28
"""Numbers that may lie between the layers of all samples, in one network."""


def is_straight(places: Sequence[Place]) -> bool:
    """Whether each weight is used once in each batch, so that none is needed before it is chosen."""
    return all(set(place.calls) == {1} for place in places)


def room(task: Task, batches: Sequence[Batch], places: Sequence[Place]) -> float:
    """Return about how many numbers lie between the layers of all samples: three times what the widest layer reads.

    It is infinite where a copy of the module is not the network: where it cannot be copied, or does not come to its own
    layers, as with a forward that is a function of the original's.
    """
    read, waited = dict[str, int](), {place.layer for place in places}
    try:
        module = deepcopy(task.module)
    except Exception:
        return math.inf

    def look(path: str, inputs: Inputs) -> None:
        read[path] = sum(tensor.numel() for tensor in tensors_in(inputs))

    layers = {layer: partial(look, path) for layer, (path, _) in uses_of(module).items() if path in waited}
    with torch.no_grad(), watching(module, layers):
        _ran(task, module, copied(batches[0]))
    if read.keys() != waited:
        return math.inf
    return 3 * max(read.values(), default=0) * sum(map(size_of, batches)) / max(size_of(batches[0]), 1)


def _ran(task: Task, module: nn.Module, batch: Batch) -> None:
    """Run a module on a batch as the task does."""
    if task.forward is not None:
        task.forward(module, batch)
    else:
        given, named = arguments_of(module, batch)
        module(*given, **named)


@final
class _Walker:
    """One batch on its way through the network."""

    def __init__(self, batch: Batch, run: Any) -> None:
        self.batch = batch
        self.go, self.there = Semaphore(0), Semaphore(0)
        self.layer: nn.Module | None = None
        self.inputs: Inputs = ()
        self.failure: BaseException | None = None
        self.ended = False
        self.thread = Thread(target=self._walk, args=(run,), daemon=True)

    def _walk(self, run: Any) -> None:
        self.go.acquire()
        try:
            if not self.ended:  # before it has begun
                with torch.no_grad():
                    run(self.batch)
        except Reached:
            pass
        except BaseException as failure:
            self.failure = failure
        self.ended, self.layer = True, None
        self.there.release()

    def advance(self) -> None:
        """Go on to the next layer that somebody waits for, or to the end."""
        self.go.release()
        self.there.acquire()

    def wait(self, layer: nn.Module, inputs: Inputs) -> None:
        """Say that the batch is before a layer, and wait."""
        self.layer, self.inputs = layer, inputs
        self.there.release()
        self.go.acquire()
        if self.ended:
            raise Reached


@final
class Lockstep:
    """See the module's docstring; made by `walking`."""

    def __init__(self, task: Task, params: Params, batches: Sequence[Batch], places: Sequence[Place]) -> None:
        self.module = deepcopy(task.module)
        own = first_names(self.module)
        for name, first in own.items():
            if first in params:
                self._put(name, params[first])
        uses = {layer: path for layer, (path, _) in uses_of(self.module).items()}
        waited = {place.layer for place in places}
        self._layers = {path: layer for layer, path in uses.items() if path in waited}
        self._walkers = [_Walker(copied(batch), partial(_ran, task, self.module)) for batch in batches]
        self._of = {walker.thread: walker for walker in self._walkers}
        self._watching = watching(self.module, {layer: partial(self._arrive, layer) for layer in self._layers.values()})
        self._watching.__enter__()
        for walker in self._walkers:
            walker.thread.start()

    def put(self, name: str, tensor: Tensor) -> None:
        """Let a parameter or buffer have other numbers from here on, under all its names."""
        for other, first in first_names(self.module).items():
            if first == name:
                self._put(other, tensor)

    def meetings(self, place: Place) -> Iterator[Meeting]:
        """Yield what a weight meets in each batch; weights are asked for in the order in which they are used.

        Raises:
            DataError: when the network fails on a batch, or does not come to the weight.
        """
        layer = self._layers[place.layer]
        for number, walker in enumerate(self._walkers):
            interrupts.check()
            while walker.layer is not layer:
                if walker.ended:
                    raise DataError(f"batch {number} of the calibration has not come to {place.name} this time")
                walker.advance()
                if walker.failure is not None:
                    said = f"the network fails on batch {number} of the calibration, {described(walker.batch)}"
                    raise DataError(f"{said}: {walker.failure}") from walker.failure
            own = {leaf: tensor for leaf, tensor in layer._parameters.items() if tensor is not None}
            yield Meeting(
                size_of(walker.batch), (Call(layer, place.leaf, walker.inputs, own, counted(walker.batch), place.form),)
            )

    def end(self) -> None:
        """Let all batches go."""
        for walker in self._walkers:
            if not walker.ended:
                walker.ended = True
                walker.go.release()
                walker.thread.join()
        self._watching.__exit__(None, None, None)

    def _arrive(self, layer: nn.Module, inputs: Inputs) -> None:
        walker = self._of.get(current_thread())
        assert walker is not None, "only its own threads run the copy"
        walker.wait(layer, inputs)

    def _put(self, name: str, tensor: Tensor) -> None:
        path, _, leaf = name.rpartition(".")
        owner = self.module.get_submodule(path)
        before = owner._parameters.get(leaf, owner._buffers.get(leaf))
        fixed = leaf in owner._parameters  # as where the module itself runs, it changes no more than its buffers
        own = tensor.detach().to(tensor.device if before is None else before.device, copy=not fixed)
        # Set as an attribute: recurrent layers have a list of theirs, too.
        setattr(owner, leaf, nn.Parameter(own, requires_grad=False) if fixed else own)


@contextmanager
def walking(task: Task, params: Params, batches: Sequence[Batch], places: Sequence[Place]) -> Iterator[Lockstep]:
    """Give a network before its first layer, with all batches; afterwards none of their threads is left.

    Args:
        task: how the module is called; it is copied, and stays as it is.
        params: parameters and buffers by first names.
        batches: of samples.
        places: weights that are asked for, each used once in each batch.
    """
    network = Lockstep(task, params, batches, places)
    try:
        yield network
    finally:
        network.end()
