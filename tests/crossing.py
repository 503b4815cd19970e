"""Tables of cases of which a few rows always run, and all of them with ``--all``."""

import itertools
from collections import Counter
from collections.abc import Iterable

import pytest

Row = tuple[int, ...]


def crossed(names: str, *axes: Iterable[object], times: int = 1) -> pytest.MarkDecorator:
    """Parametrize ``names`` over the product of the axes.

    Without ``--all`` there are ``times`` as many rows as the longest axis is long: every value of every axis occurs in
    one, and of the pairs of values as many as there is room for.
    """
    lists = [list(axis) for axis in axes]
    every = list(itertools.product(*(range(len(axis)) for axis in lists)))
    usual = spread(every, times * max(map(len, lists)))
    rows = []
    for row in every:
        values = [axis[place] for axis, place in zip(lists, row, strict=True)]
        rows.append(pytest.param(*values, marks=() if row in usual else pytest.mark.full))
    return pytest.mark.parametrize(names, rows)


def usually(
    names: str, usual: Iterable[object], *, else_: Iterable[object], ids: Iterable[str] | None = None
) -> pytest.MarkDecorator:
    """Parametrize ``names`` over the usual rows, and with ``--all`` over the others, too."""
    full = [pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.full) for row in else_]
    return pytest.mark.parametrize(names, [*usual, *full], ids=ids)


def spread(rows: list[Row], count: int) -> set[Row]:
    """Return so many of the rows, each the one that shows the most that is new: values, pairs of them, rare values."""
    chosen: set[Row] = set()
    seen: Counter[object] = Counter()

    def new(row: Row) -> tuple[int, int, int]:
        values = list(enumerate(row))
        pairs = itertools.combinations(values, 2)
        return sum(not seen[v] for v in values), sum(not seen[p] for p in pairs), -sum(seen[v] for v in values)

    for _ in range(min(count, len(rows))):
        best = max((row for row in rows if row not in chosen), key=new)
        chosen.add(best)
        seen.update([*enumerate(best), *itertools.combinations(enumerate(best), 2)])
    return chosen
