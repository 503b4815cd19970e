"""Tensors with several names: an embedding that is also the output layer is one variable, stored and counted once.

Names are tied by a module, which has one parameter in several places; by memory, as in a `state_dict`; or by bytes, as
in a file that holds a tensor once for each name. The last says how a tensor is best stored, not what it is: training
takes a module's own ties alone.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar, final

import torch
from torch import Tensor, nn

from laconic.format.ties import alike
from laconic.models.params import Arrays, Params, first_names, once

Kind = TypeVar("Kind")


@final
@dataclass(frozen=True, eq=False)
class Untied:
    """A network with each tensor once.

    Args:
        params: the tensors, each under one of its names.
        names: every name, in order, with the one that its tensor has in ``params``.
    """

    params: Params
    names: Mapping[str, str]

    @property
    def ties(self) -> dict[str, str]:
        """The further names, with the one that their tensor has in ``params``."""
        return {name: first for name, first in self.names.items() if name != first}

    def only(self, names: Collection[str]) -> frozenset[str]:
        """Return the tensors all of whose names are in ``names``."""
        return frozenset(self.params) - {first for name, first in self.names.items() if name not in names}

    def named(self, things: Mapping[str, Kind]) -> dict[str, Kind]:
        """Return ``things``, one for each tensor, under all names: one object for names that are tied."""
        return {name: things[first] for name, first in self.names.items()}

    def alike(
        self, group: Callable[[str], Hashable] = lambda name: None, marks: Mapping[str, bytes] | None = None
    ) -> "Untied":
        """Return the same with tensors of equal bytes, dtype and shape once.

        Args:
            group: (name) → what they must have in common beside, to count as one.
            marks: of tensors, where they are known: see `laconic.format.ties.alike`.
        """
        return _without(self.params, alike(Arrays(self.params), group, marks), self.names)


def untied(params: Params, module: nn.Module | None = None) -> Untied:
    """Return ``params`` with each tensor once.

    Args:
        params: by name.
        module: says which names are tied, and what further names its tensors have. Where there is none, tensors are
            one that have the same memory, shape and strides; a mapping that reads tensors as they are asked for has
            none of these.

    Raises:
        WeightsError: when names that the module ties come with different values.
    """
    if module is None:
        return _without(params, _by_memory(params), {name: name for name in params})
    kept, firsts = once(module, params), first_names(module)
    ties = {name: kept[firsts.get(name, name)] for name in params}
    further = {name: kept[first] for name, first in firsts.items() if first in kept and name not in ties}
    return _without(params, {name: first for name, first in ties.items() if name != first}, {**ties, **further})


def _without(params: Params, ties: Mapping[str, str], names: Mapping[str, str]) -> Untied:
    """Return ``params`` without the names that ``ties`` has others for."""
    kept = [name for name in params if name not in ties]
    some = {name: params[name] for name in kept} if isinstance(params, dict) else Some(params, kept)
    return Untied(some, {name: ties.get(first, first) for name, first in names.items()})


def _by_memory(params: Params) -> dict[str, str]:
    """Return the names of tensors whose memory is that of one before them, with the first name of each."""
    if not isinstance(params, dict):
        return {}
    firsts: dict[Hashable, str] = {}
    ties: dict[str, str] = {}
    for name, tensor in params.items():
        if tensor.layout != torch.strided or not tensor.numel() or tensor.is_meta:
            continue
        place = tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
        first = firsts.setdefault(place, name)
        if first != name:
            ties[name] = first
    return ties


@final
class Some(Mapping[str, Tensor]):
    """Some of the tensors of a mapping, each asked for when it is asked for here."""

    def __init__(self, params: Params, names: list[str]) -> None:
        self._params, self._names = params, dict.fromkeys(names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
