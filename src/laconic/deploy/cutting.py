"""Which indices of which axes stay once idle channels are gone, and in which order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import nn

from laconic.deploy.edits import Edits, Kept
from laconic.deploy.emptying import Emptied
from laconic.deploy.selecting import SELECTING
from laconic.models.channels.run import Padded
from laconic.models.channels.trace import Traced

Axis = tuple[str, int]
"""Name of a tensor, and one of its axes."""


@final
@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a network by axis.

    Args:
        roots: axis → the root of each index along it; an axis of size 1 is not among them.
    """

    roots: Mapping[Axis, np.ndarray]

    @classmethod
    def of(cls, traced: Traced) -> "Channels":
        """Return those that a run has shown."""
        found: dict[Axis, dict[int, int]] = {}
        for root, slots in traced.sets.items():
            for slot in slots:
                found.setdefault((slot.name, slot.axis), {})[slot.at] = root
        return cls({axis: np.array([at[i] for i in range(len(at))]) for axis, at in found.items()})

    def restored(self, gone: Iterable[int], multiple: int) -> frozenset[int]:
        """Return of the roots that are gone those that may be: each axis keeps one index, and a multiple of indices.

        An axis that has no such number of indices keeps all.
        """
        left, changed = set(gone), True
        while changed:
            changed = False
            for roots in self.roots.values():
                kept = sum(int(root) not in left for root in roots)
                target = min(max(1, -(-kept // multiple) * multiple), len(roots))
                if kept == len(roots) or kept == target:
                    continue
                back = next(int(root) for root in roots if int(root) in left)
                left.discard(back)
                changed = True
        return frozenset(left)

    def clusters(self, gone: Iterable[int]) -> list[frozenset[int]]:
        """Return roots that are gone in sets of which no two have an axis in common."""
        found: list[set[int]] = []
        some = set(gone)
        for roots in self.roots.values():
            here = some & set(roots.tolist())
            for other in [other for other in found if other & here]:
                found.remove(other)
                here |= other
            if here:
                found.append(here)
        return [frozenset(cluster) for cluster in found]


def cut(
    emptied: Emptied, channels: Channels, gone: frozenset[int], multiple: int = 1, *, keep_inputs: bool = False
) -> Edits:
    """Return the edits of a network that loses the channels that are ``gone``, without those of attributes.

    Args:
        emptied: the network.
        channels: its channels.
        gone: roots, of `Channels.restored`.
        multiple: of inputs that a layer selects.
        keep_inputs: no layer selects inputs of the network.
    """
    run, atoms = emptied.traced.run, emptied.traced.atoms
    ranks = _ranks(emptied.traced, gone)
    axes: dict[str, dict[int, Kept]] = {}
    for (name, axis), roots in channels.roots.items():
        kept = [index for index, root in enumerate(roots) if int(root) not in gone]
        if len(kept) < len(roots):
            if all(int(roots[index]) in ranks for index in kept):
                kept.sort(key=lambda index: ranks[int(roots[index])])
            axes.setdefault(name, {})[axis] = tuple(kept)
    parts, groups = dict(emptied.module.named_modules()), dict[str, int]()
    for name, number in run.groups.items():
        kept_rows = axes.get(name, {}).get(0)
        if kept_rows is not None:
            rows = len(channels.roots[name, 0])
            groups[name.rpartition(".")[0]] = len(kept_rows) * number // rows
    for path, labels in run.divided:
        left = sum(int(root) not in gone for root in atoms.roots(labels))
        if isinstance(parts[path], nn.GroupNorm) and left < len(labels):
            groups[path] = left
    selected: dict[str, Kept] = {}
    for name, (axis, used) in {} if keep_inputs else run.unread.items():
        path, _, kind = name.rpartition(".")
        reads = _chosen(used.numpy(), multiple)
        if kind == "weight" and axis == 1 and type(parts.get(path)) in SELECTING and run.reads[name] == 1 and reads:
            axes.setdefault(name, {})[1] = selected[path] = reads
    return Edits(axes, groups, {}, selected)


def _chosen(used: np.ndarray, multiple: int) -> Kept:
    """Return the inputs that a layer reads, and others up to a multiple; nothing where these are all."""
    count = min(max(1, -(-int(used.sum()) // multiple) * multiple), len(used))
    order = np.argsort(~used, kind="stable")[:count]
    return tuple(sorted(order.tolist())) if count < len(used) else ()


def _ranks(traced: Traced, gone: frozenset[int]) -> dict[int, int]:
    """Return the place of each channel of a padded axis, by root.

    A network that pads tells how many zeros come before from how many there are. Half of them before and half behind,
    as before, makes these numbers right whichever channels stay: their order is free.
    """
    ranks: dict[int, int] = {}
    for pad in traced.run.padded:
        before, between, behind = _left(pad, traced, gone)
        zeros, half = before + behind, len(pad.before) == (len(pad.before) + len(pad.behind)) // 2
        first = len(zeros) // 2 if half else len(before)
        for place, root in enumerate(between):
            ranks.setdefault(root, place)
        inner = [ranks[root] for root in between] or [0]
        for place, root in enumerate(zeros):
            ranks.setdefault(root, min(inner) - first + place if place < first else max(inner) + 1 + place - first)
    return ranks


def _left(pad: Padded, traced: Traced, gone: frozenset[int]) -> tuple[list[int], ...]:
    """Return the roots that stay of a padding: before, between and behind."""
    parts = (traced.atoms.roots(part).tolist() for part in pad)
    return tuple([root for root in part if root not in gone] for part in parts)
