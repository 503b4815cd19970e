"""Tables of cases that are the product of several lists: a few rows always, all of them with ``--all``."""

import itertools
from collections.abc import Iterable

import pytest


def crossed(names: str, *axes: Iterable[object]) -> pytest.MarkDecorator:
    """Parametrize ``names`` over the product of the axes.

    Without ``--all`` there are as many rows as the longest axis is long, in which every value of every axis occurs.
    """
    lists = [list(axis) for axis in axes]
    usual = {tuple(row % len(axis) for axis in lists) for row in range(max(map(len, lists)))}
    rows = []
    for places in itertools.product(*(range(len(axis)) for axis in lists)):
        values = [axis[place] for axis, place in zip(lists, places, strict=True)]
        rows.append(pytest.param(*values, marks=() if places in usual else pytest.mark.full))
    return pytest.mark.parametrize(names, rows)
