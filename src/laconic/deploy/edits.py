"""What was rewritten and cut out, as JSON: how a fresh network of the same class becomes the smaller one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from laconic.errors import FormatError

METADATA = "shrunk"
"""The name of the edits among the metadata of a file."""

_LARGEST = 1 << 31
_MOST = 1 << 22  # indices in all: some bytes of text can stand for any number of them

Kept = tuple[int, ...]
"""Indices along an axis that stay, in their new order."""


@final
@dataclass(frozen=True)
class Edits:
    """How a network became smaller; names are those of `named_modules` and `named_parameters`, each tensor's first.

    Args:
        axes: name of a tensor → axis → what stays along it.
        groups: name of a module → number of groups of its convolution or normalization.
        attributes: name of a module → attribute of it that says a size → new size.
        selected: name of a layer → which of its inputs it reads.
        factored: name of a layer → how its weight is a product, and the ranks: see `laconic.deploy.factored`.
        rewritten: name of a layer → the compact layers that it became, before all else, and their sizes: see
            `laconic.deploy.compact`.
    """

    axes: Mapping[str, Mapping[int, Kept]] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    selected: Mapping[str, Kept] = field(default_factory=dict)
    factored: Mapping[str, tuple[str, *tuple[int, ...]]] = field(default_factory=dict)
    rewritten: Mapping[str, tuple[str, *tuple[int, ...]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.smaller or self.rewritten)

    @property
    def smaller(self) -> bool:
        """Whether something was cut out, which nothing can follow."""
        return bool(self.axes or self.selected or self.factored)

    def dumps(self) -> str:
        """Return the JSON text.

        >>> Edits({"fc.weight": {1: (0, 1, 2, 5)}}, groups={"conv": 2}).dumps()
        '{"axes":{"fc.weight":{"1":"0-2,5"}},"groups":{"conv":2}}'
        """
        table = {
            "axes": {n: {str(axis): _ranges(kept) for axis, kept in axes.items()} for n, axes in self.axes.items()},
            "groups": dict(self.groups),
            "attributes": {name: dict(sizes) for name, sizes in self.attributes.items()},
            "selected": {name: _ranges(kept) for name, kept in self.selected.items()},
            "factored": {name: list(how) for name, how in self.factored.items()},
            "rewritten": {name: list(how) for name, how in self.rewritten.items()},
        }
        return json.dumps({key: value for key, value in table.items() if value}, separators=(",", ":"))


def edits_of(metadata: Mapping[str, str]) -> Edits:
    """Return what the metadata of a file say was cut out: nothing, where they say nothing of it; errors of `loads`."""
    return loads(metadata.get(METADATA, "{}"))


def loads(text: str) -> Edits:
    """Return the edits that a JSON text stands for: whatever somebody may have written there.

    >>> loads('{"axes":{"w":{"0":"2,0-1"}}}').axes
    {'w': {0: (2, 0, 1)}}

    Raises:
        FormatError: says what is no edit.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the edits of a smaller network are no JSON: {error}") from error
    _require(isinstance(table, dict), "a table", table)
    _require(not table.keys() - Edits.__dataclass_fields__.keys(), "the tables of edits alone", sorted(table))
    tables = {key: _table(table.get(key, {}), key) for key in Edits.__dataclass_fields__}
    runs = {name: {_axis(axis): _runs(kept) for axis, kept in _table(given, name).items()}
            for name, given in tables["axes"].items()}  # fmt: skip
    read = {name: _runs(kept) for name, kept in tables["selected"].items()}
    every = [*read.values(), *(kept for own in runs.values() for kept in own.values())]
    count = sum(last - first + 1 for kept in every for first, last in kept)
    _require(count <= _MOST, f"at most {_MOST:,} indices in all", count)  # before any of them takes memory
    axes = {name: {axis: _indices(kept) for axis, kept in own.items()} for name, own in runs.items()}
    selected = {name: _indices(kept) for name, kept in read.items()}
    attributes = {name: {key: _size(size) for key, size in _table(given, name).items()}
                  for name, given in tables["attributes"].items()}  # fmt: skip
    return Edits(
        axes,
        {name: _size(number) for name, number in tables["groups"].items()},
        attributes,
        selected,
        {name: _product(how, (2, 3)) for name, how in tables["factored"].items()},
        {name: _product(how, (1, 2)) for name, how in tables["rewritten"].items()},
    )


def _ranges(kept: Kept) -> str:
    """Return indices as runs: `0-2,5`."""
    runs: list[list[int]] = []
    for index in kept:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _runs(text: object) -> list[tuple[int, int]]:
    """Return the first and last index of each run of `_ranges`."""
    _require(isinstance(text, str) and bool(text), "indices such as 0-2,5", text)
    runs: list[tuple[int, int]] = []
    for run in str(text).split(","):
        ends = run.split("-")
        _require(len(ends) in (1, 2) and all(end.isascii() and end.isdigit() for end in ends), "indices", run)
        _require(max(map(len, ends)) < 10, "indices below 2³¹", run)
        first, last = int(ends[0]), int(ends[-1])
        _require(first <= last < _LARGEST, "a run of indices", run)
        runs.append((first, last))
    return runs


def _indices(runs: list[tuple[int, int]]) -> Kept:
    """Return the indices of runs, which differ."""
    kept = [index for first, last in runs for index in range(first, last + 1)]
    _require(len(set(kept)) == len(kept), "indices that differ", runs)
    return tuple(kept)


def _table(value: object, where: str) -> dict[str, Any]:
    """Return a table."""
    _require(isinstance(value, dict), f"a table in {where}", value)
    return dict(value)  # type: ignore[call-overload, no-any-return]


def _product(how: object, lengths: tuple[int, int]) -> tuple[str, *tuple[int, ...]]:
    """Return the kind of what a layer became, and its ranks or sizes."""
    _require(isinstance(how, list) and len(how) in lengths and isinstance(how[0], str), "a kind and sizes", how)
    kind, *ranks = list(how)  # type: ignore[call-overload]
    return (str(kind), *map(_size, ranks))


def _axis(text: str) -> int:
    """Return the number of an axis."""
    _require(text in map(str, range(8)), "an axis", text)
    return int(text)


def _size(value: object) -> int:
    """Return a size of 1 or more."""
    _require(isinstance(value, int) and not isinstance(value, bool) and 1 <= value < _LARGEST, "a size", value)
    return int(value)  # type: ignore[call-overload, no-any-return]


def _require(fine: bool, expected: str, got: object) -> None:
    """Raise `FormatError` unless something is as it should be."""
    if not fine:
        raise FormatError(f"the edits of a smaller network: {expected} expected, got {str(got)[:80]}")
