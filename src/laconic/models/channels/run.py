"""One run of a network, in which every operation says what becomes of channels."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from laconic.models.channels.atoms import Atoms
from laconic.models.channels.meaning import Meaning, constant
from laconic.models.params import first_names
from laconic.models.wiring import tensors_in


class Fold(NamedTuple):
    """A constant that a layer reads, which its bias can hold instead.

    Args:
        weight: name of the layer's weight.
        axis: of the weight, along which it reads.
        columns: indices along the axis that read constants other than 0.
        bias: name of the layer's bias.
        delta: what the constants add to each number of it, float64.
    """

    weight: str
    axis: int
    columns: tuple[int, ...]
    bias: str
    delta: Tensor


class Divided(NamedTuple):
    """Channels that a module reads in so many groups of one size: heads, or groups of a normalization.

    Args:
        path: name of the module that was running.
        labels: atoms of one channel in each group, shape (groups,).
    """

    path: str
    labels: Tensor


class Padded(NamedTuple):
    """Zero channels put before and behind others: atoms of the first, of those between, of the last."""

    before: Tensor
    between: Tensor
    behind: Tensor


@final
@dataclass(eq=False)
class Run:
    """What has been seen so far.

    Args:
        atoms: the channels.
        names: id of a parameter or buffer → its first name.
        meanings: id of a tensor → the tensor, which so keeps its id, and its meaning.
        path: modules that are running, the innermost last.
        folds: constants that biases can hold.
        reads: name of a weight or bias → how often a layer has read it.
        groups: name of a convolution's weight → number of its groups.
        divided: groups of channels of other modules.
        padded: paddings of channels.
        unread: name of a weight → (axis of the weight, axis of what it reads) where it reads the network's input.
    """

    atoms: Atoms = field(default_factory=Atoms)
    names: dict[int, str] = field(default_factory=dict)
    meanings: dict[int, tuple[Tensor, Meaning]] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    reads: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    divided: list[Divided] = field(default_factory=list)
    padded: list[Padded] = field(default_factory=list)
    unread: dict[str, tuple[int, Tensor]] = field(default_factory=dict)

    def begin(self, module: nn.Module, inputs: Iterable[Tensor]) -> None:
        """Give each axis of each parameter and buffer atoms of its own, and the inputs none."""
        own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        firsts = first_names(module)
        for name, tensor in own.items():
            name = firsts[name]
            self.names[id(tensor)] = name
            families = []
            for axis, size in enumerate(tensor.shape if tensor.is_floating_point() else ()):
                if size > 1:
                    shape = [1] * tensor.ndim
                    shape[axis] = size
                    families.append(self.atoms.of(name, axis, size).reshape(shape))
            self.meanings[id(tensor)] = tensor, Meaning(tuple(families), constant(tensor.ndim).const)
        for tensor in inputs:
            self.meanings[id(tensor)] = tensor, constant(tensor.ndim, is_constant=False)

    def meaning(self, tensor: Tensor) -> Meaning:
        """Return the meaning of a tensor: one that no operation has made of another is a constant."""
        if id(tensor) not in self.meanings:
            self.meanings[id(tensor)] = tensor, constant(tensor.ndim)
        return self.meanings[id(tensor)][1]

    def put(self, tensor: Tensor, meaning: Meaning) -> None:
        """Say what a tensor means."""
        self.meanings[id(tensor)] = tensor, meaning

    def is_zero(self, tensor: Tensor, axis: int) -> Tensor:
        """Return which entries along an axis are 0 whatever the input, bool of shape (n,)."""
        others = tuple(other for other in range(tensor.ndim) if other != axis)
        zero = (tensor == 0) & self.meaning(tensor).const
        return zero.all(others) if others else zero

    def seen(self, things: Any) -> Iterator[tuple[Tensor, Meaning]]:
        """Give the tensors in nested arguments with their meanings."""
        for tensor in tensors_in(things):
            yield tensor, self.meaning(tensor)

    def forget(self, what: str, arguments: Any, outputs: Any) -> None:
        """Pin all channels that an operation reads of which nothing is known."""
        meanings = [meaning for _, meaning in self.seen(arguments)]
        for meaning in meanings:
            for family in meaning.families:
                self.atoms.pin(family, f"is read by {what}, of which shrinking knows nothing")
        known = all(bool(meaning.const.all()) for meaning in meanings)
        for tensor in tensors_in(outputs):
            self.put(tensor, constant(tensor.ndim, is_constant=known))


Rule = Callable[[Run, Any, tuple[Any, ...], dict[str, Any], Any], None]
"""(run, operation, arguments, named arguments, outputs): says what the outputs mean."""


def spread(vector: Tensor, axis: int, ndim: int) -> Tensor:
    """Return a vector as a tensor of ``ndim`` axes, along one of them."""
    shape = [1] * ndim
    shape[axis] = -1
    return torch.as_tensor(vector).reshape(shape)
