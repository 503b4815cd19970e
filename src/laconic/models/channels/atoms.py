"""Channels as atoms: each index of each axis of each parameter is one, and a run says which of them are one channel."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor


class Slot(NamedTuple):
    """One index of one axis of a parameter or buffer.

    Args:
        name: first name of the tensor.
        axis: 0 or more.
        at: its index along the axis.
    """

    name: str
    axis: int
    at: int


@final
@dataclass(eq=False)
class Atoms:
    """A union-find of channels: what is united is kept or removed together.

    Args:
        slots: atom → its slot in a parameter; channels that no parameter makes, such as padded ones, have none.
        parents: of each atom one that is in the same set.
        pinned: atom → why its set cannot be removed.
        needed: atoms that somebody reads.
    """

    slots: dict[int, Slot] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)
    pinned: dict[int, str] = field(default_factory=dict)
    needed: set[int] = field(default_factory=set)

    def fresh(self, count: int) -> Tensor:
        """Return ``count`` new atoms, int64."""
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def of(self, name: str, axis: int, count: int) -> Tensor:
        """Return new atoms for an axis of a tensor."""
        atoms = self.fresh(count)
        self.slots |= {atom: Slot(name, axis, index) for index, atom in enumerate(atoms.tolist())}
        return atoms

    def root(self, atom: int) -> int:
        """Return the one atom that stands for the set of ``atom``."""
        while self.parents[atom] != atom:
            self.parents[atom] = self.parents[self.parents[atom]]
            atom = self.parents[atom]
        return atom

    def unite(self, some: Tensor, others: Tensor) -> None:
        """Put each of ``some`` and its partner in ``others``, which broadcast, into one set."""
        shape = np.broadcast_shapes(some.shape, others.shape)
        pairs = torch.stack([some.expand(shape).reshape(-1), others.expand(shape).reshape(-1)], 1)
        for one, other in torch.unique(pairs, dim=0).tolist():
            first, second = sorted((self.root(one), self.root(other)))
            self.parents[second] = first

    def pin(self, atoms: Tensor, why: str) -> None:
        """Say why atoms cannot be removed; the first reason stands."""
        for atom in set(atoms.reshape(-1).tolist()):
            self.pinned.setdefault(atom, why)

    def need(self, atoms: Iterable[int]) -> None:
        """Note that atoms are read."""
        self.needed.update(atoms)

    def sets(self) -> dict[int, list[Slot]]:
        """Return root → the slots of its set."""
        found: dict[int, list[Slot]] = defaultdict(list)
        for atom, slot in self.slots.items():
            found[self.root(atom)].append(slot)
        return dict(found)

    def reasons(self) -> dict[int, str]:
        """Return root → why its set cannot be removed, of those that are pinned."""
        found: dict[int, str] = {}
        for atom, why in self.pinned.items():
            found.setdefault(self.root(atom), why)
        return found

    def roots(self, atoms: Tensor) -> np.ndarray:
        """Return the roots of atoms, shape (n,)."""
        return np.array([self.root(atom) for atom in atoms.reshape(-1).tolist()], np.int64)
