"""What the elements of a tensor in a run stand for: their channels, and whether they depend on the input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.models.channels.atoms import Atoms

Axes = frozenset[int]


@final
@dataclass(frozen=True, eq=False)
class Meaning:
    """Of one tensor: labels, and what is constant.

    Args:
        families: each an int64 tensor of atoms that broadcasts to the tensor, of as many axes: an axis has size 1 where
            the channel does not depend on it. No two have an axis in common that is longer than 1.
        const: bool, broadcasts likewise: elements that are the same for every input.
    """

    families: tuple[Tensor, ...]
    const: Tensor

    def along(self, axis: int) -> Tensor | None:
        """Return the atoms along an axis, shape (n,), where a family labels this axis and no other."""
        found = [family for family in self.families if axes_of(family) == {axis}]
        return found[0].reshape(-1) if found else None

    def moved(self, atoms: Atoms, shape: Sequence[int], move: Callable[[Tensor], Tensor]) -> "Meaning":
        """Return the meaning of a tensor of ``shape`` whose elements have been put elsewhere by ``move``."""
        families = united(atoms, [narrow(move(family.expand(*shape))) for family in self.families])
        return Meaning(families, narrow(move(self.const.expand(*shape))))


def axes_of(labels: Tensor) -> Axes:
    """Return the axes along which labels differ."""
    return frozenset(axis for axis, size in enumerate(labels.shape) if size > 1)


def narrow(labels: Tensor) -> Tensor:
    """Return labels with size 1 for each axis along which they are all the same."""
    for axis in range(labels.ndim):
        first = labels.narrow(axis, 0, min(1, labels.shape[axis]))
        if labels.shape[axis] > 1 and bool((labels == first).all()):
            labels = first
    return labels


def constant(ndim: int, *, is_constant: bool = True) -> Meaning:
    """Return the meaning of a tensor of ``ndim`` axes without channels."""
    return Meaning((), torch.full((1,) * ndim, is_constant))


def collapsed(atoms: Atoms, family: Tensor, axes: Axes) -> Tensor:
    """Return a family with all that lies along ``axes`` united, of size 1 there."""
    for axis in axes & axes_of(family):
        first = family.narrow(axis, 0, 1)
        atoms.unite(first, family)
        family = first
    return family


def united(atoms: Atoms, families: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return families of one tensor, those that have an axis in common made one; one channel alone is pinned."""
    kept: list[Tensor] = []
    for family in families:
        if family.numel() == 1:
            atoms.pin(family, "is read alone")
            continue
        for other in [other for other in kept if axes_of(other) & axes_of(family)]:
            atoms.unite(family, other)
            kept = [some for some in kept if some is not other]
            family = family.expand(np.broadcast_shapes(family.shape, other.shape))
        kept.append(family)
    return tuple(kept)


def fixed(atoms: Atoms, meanings: Sequence[Meaning], axes: Axes, why: str) -> None:
    """Pin each channel that is labelled along one of ``axes``."""
    for meaning in meanings:
        for family in meaning.families:
            if axes_of(family) & axes:
                atoms.pin(family, why)


def met(atoms: Atoms, operands: Sequence[tuple[Meaning, Tensor]], const: Tensor | None = None) -> Meaning:
    """Return the meaning of what is made element by element of operands that broadcast.

    Args:
        atoms: what is united.
        operands: meaning and value of each.
        const: which elements are constant, where it is not those of which all operands are.
    """
    ndim = max(value.ndim for _, value in operands)
    wide = [(_led(meaning, ndim), (1,) * (ndim - value.ndim) + tuple(value.shape)) for meaning, value in operands]
    families: list[Tensor] = []
    for number, (meaning, _) in enumerate(wide):
        for family in meaning.families:
            axes = axes_of(family)
            others = [pair for place, pair in enumerate(wide) if place != number]
            strangers = [m for m, shape in others if any(shape[axis] > 1 for axis in axes)]
            if all(any(axes_of(f) & axes for f in stranger.families) for stranger in strangers):
                families.append(family)
            else:
                atoms.pin(family, "meets, element by element, what is no output of a layer")
    if const is None:
        const = reduce(torch.logical_and, (meaning.const for meaning, _ in wide))
    return Meaning(united(atoms, families), narrow(const))


def _led(meaning: Meaning, ndim: int) -> Meaning:
    """Return the meaning with axes of size 1 before the others, up to ``ndim``."""

    def led(labels: Tensor) -> Tensor:
        return labels.reshape((1,) * (ndim - labels.ndim) + tuple(labels.shape))

    return Meaning(tuple(map(led, meaning.families)), led(meaning.const))
