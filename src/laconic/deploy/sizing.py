"""Sizes that modules of one's own keep beside their parameters, such as a number of heads: found by trying.

What an attribute says nobody can tell from its value: 64 may be a width, or a number of anything. So each attribute
that equals a size that shrinks, in all modules of its class, is tried as that size, and the outputs decide.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice, product
from typing import NamedTuple

from torch import nn

from laconic.deploy.cutting import Channels
from laconic.deploy.edits import Edits
from laconic.deploy.narrowing import KNOWN
from laconic.models.channels.trace import Traced

TRIALS = 128
"""Combinations of sizes that are tried, at most."""

Sizes = Mapping[str, tuple[int, int]]
"""What has a size, such as an axis of a parameter, by name → its size before and after."""


class _Attribute(NamedTuple):
    """An attribute of all modules of a class: for each way to read it, module → new size."""

    key: str
    ways: tuple[Mapping[str, int], ...]


def sized(
    module: nn.Module, traced: Traced, channels: Channels, gone: frozenset[int], edits: Edits,
    fits: Callable[[Edits], bool],
) -> Edits | None:  # fmt: skip
    """Return the edits with the attributes that make the smaller network say what the larger one says, or None.

    Args:
        module: the larger network.
        traced: its run.
        channels: its channels.
        gone: the roots that the edits remove.
        edits: without attributes.
        fits: says whether a network with given edits runs and has the same outputs.
    """
    attributes = list(_attributes(module, traced, channels, gone))
    for choice in islice(_choices([len(attribute.ways) for attribute in attributes]), TRIALS):
        sizes: dict[str, dict[str, int]] = {}
        for attribute, way in zip(attributes, choice, strict=True):
            for path, size in attribute.ways[way].items():
                if vars(module.get_submodule(path))[attribute.key] != size:
                    sizes.setdefault(path, {})[attribute.key] = size
        tried = replace(edits, attributes=sizes)
        if fits(tried):
            return tried
    return None


def _choices(ways: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Give a way for each attribute: the likeliest of all, none of all, and then others of one, of two, and so on.

    >>> list(_choices([2, 3]))
    [(0, 0), (1, 2), (1, 0), (0, 1), (0, 2), (1, 1)]
    """
    ends = tuple(0 for _ in ways), tuple(many - 1 for many in ways)
    yield from dict.fromkeys(ends)
    for others in range(1, len(ways) + 1):
        for places in combinations(range(len(ways)), others):
            for chosen in product(*(range(1, ways[place]) for place in places)):
                choice = [0] * len(ways)
                for place, way in zip(places, chosen, strict=True):
                    choice[place] = way
                if tuple(choice) not in ends:
                    yield tuple(choice)


def _attributes(module: nn.Module, traced: Traced, channels: Channels, gone: frozenset[int]) -> Iterator[_Attribute]:
    """Give the attributes that may say a size which shrinks, each with its ways: the likeliest first, none last."""
    classes: dict[type[nn.Module], dict[str, nn.Module]] = {}
    for path, part in module.named_modules():
        if not type(part).__module__.startswith("torch.nn.") and not isinstance(part, KNOWN):
            classes.setdefault(type(part), {})[path] = part
    for parts in classes.values():
        sizes = {path: _sizes(path, traced, channels, gone) for path in parts}
        keys = {key for part in parts.values() for key, value in vars(part).items() if _is_size(key, value)}
        for key in sorted(keys):
            own = {path: vars(part)[key] for path, part in parts.items() if _is_size(key, vars(part).get(key))}
            names = dict.fromkeys(name for path in own for name in sizes[path])
            if "head" in key:
                names = dict.fromkeys(sorted(names, key=lambda name: not name.startswith("heads")))
            ways: list[Mapping[str, int]] = []
            for name in names:
                told = {path: sizes[path].get(name, (value, value)) for path, value in own.items()}
                way = {path: after for path, (before, after) in told.items()}
                if all(told[path][0] == value for path, value in own.items()) and way not in (own, *ways):
                    ways.append(way)
            if ways:
                yield _Attribute(key, (*ways, own))


def _is_size(key: str, value: object) -> bool:
    """Say whether an attribute may be the size of something that shrinks."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 1 and not key.startswith("_")


def _sizes(path: str, traced: Traced, channels: Channels, gone: frozenset[int]) -> Sizes:
    """Return the sizes within a module: axes of its parameters, and its heads."""
    prefix = f"{path}." if path else ""
    found: dict[str, tuple[int, int]] = {}
    heads = [labels for where, labels in traced.run.divided if where == path or where.startswith(prefix)]
    for number, labels in enumerate(heads):
        roots = traced.atoms.roots(labels)
        kept = sum(int(root) not in gone for root in roots)
        if kept:
            found[f"heads {number}"] = len(roots), kept
    for (name, axis), roots in channels.roots.items():
        if name.startswith(prefix):
            kept = sum(int(root) not in gone for root in roots)
            found[f"{name.removeprefix(prefix)} {axis}"] = len(roots), kept
    return found
