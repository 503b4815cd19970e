"""A treemap: rectangles whose areas are in proportion to sizes, as near to squares as rows of them can be.

    min over ways to cut the next row    max over its rectangles of max(width / height, height / width)

Greedy: rectangles join a row along the shorter side of what is left, the largest first, as long as the worst of them
becomes no longer for it. O(n log n). Not exact: the best of all layouts is a hard problem.

Source: Bruls, Huizing & van Wijk, "Squarified treemaps" (2000), section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Box:
    """A rectangle; units are those of the whole."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height


def squarified(sizes: Sequence[float], whole: Box) -> list[Box]:
    """Return a box for each size, in their order: they fill ``whole`` and do not overlap.

    Args:
        sizes: not negative, the largest first; a size of 0 has a box without area.
        whole: what is filled.

    >>> [round(box.area) for box in squarified([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))]
    [6, 6, 4, 3, 2, 2, 1]
    """
    total = float(sum(sizes))
    if not total > 0:
        return [Box(whole.x, whole.y, 0.0, 0.0) for _ in sizes]
    left, boxes, at = whole, list[Box](), 0
    areas = [size * whole.area / total for size in sizes]
    while at < len(areas):
        side, end, row = min(left.width, left.height), at + 1, areas[at]
        while end < len(areas) and _worst(areas[at], areas[end], row + areas[end], side) <= _worst(
            areas[at], areas[end - 1], row, side
        ):
            row += areas[end]
            end += 1
        boxes += _row(areas[at:end], row, left)
        left = _rest(left, row)
        at = end
    return boxes


def _worst(largest: float, smallest: float, row: float, side: float) -> float:
    """Return the worst ratio of sides in a row along ``side``; of one without area it is 0."""
    if not (smallest > 0 and side > 0 and row > 0):
        return 0.0
    return max(side * side * largest / (row * row), row * row / (side * side * smallest))


def _row(areas: Sequence[float], row: float, left: Box) -> list[Box]:
    """Return the boxes of a row along the shorter side of what is left."""
    found, along = list[Box](), 0.0
    upright = left.width >= left.height
    side = left.height if upright else left.width
    depth = row / side if side > 0 else 0.0
    for area in areas:
        length = area / depth if depth > 0 else 0.0
        found.append(
            Box(left.x, left.y + along, depth, length) if upright else Box(left.x + along, left.y, length, depth)
        )
        along += length
    return found


def _rest(left: Box, row: float) -> Box:
    """Return what a row leaves."""
    if left.width >= left.height:
        depth = row / left.height if left.height > 0 else 0.0
        return Box(left.x + depth, left.y, max(left.width - depth, 0.0), left.height)
    depth = row / left.width if left.width > 0 else 0.0
    return Box(left.x, left.y + depth, left.width, max(left.height - depth, 0.0))
