"""The strength at which a file is as near a size as it can be, from below."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

from laconic.experiments.recipes.equal_sizes.settings import Setting

Size = Callable[[float], int]
"""Strength → bytes of the file."""

NEAR, CLOSE = 0.8, 0.96
"""Shares of the size: a file below the first does not reach it; LC is content with a file above the second."""
_ROUNDS = 18
_AIM = 0.98
_STEP = 0.15
_SLOPES = (2.0, 12.0)
"""A direct size may jump where that of LC does not."""


@final
@dataclass(frozen=True)
class Found:
    """The file that is nearest to a size.

    Args:
        place: of the strength, 0 to 1.
        strength: of the compression.
        size: of the file, in bytes.
        slope: of ln(bytes) against the place, nearby.
    """

    place: float
    strength: float
    size: int
    slope: float

    def reaches(self, target: int) -> bool:
        """Say whether the file is of the size asked for, or little below it."""
        return NEAR * target <= self.size <= target


def halved(setting: Setting, size: Size, target: int) -> Found:
    """Return what bisection of the place finds; a size that does not rise with it all the way misleads nobody.

    >>> setting = Setting("keep", "keep", "pruning", "share", dict, (1e-4, 1.0))
    >>> half = halved(setting, lambda share: round(100_000 * share), 5_000)
    >>> half.size, half.reaches(5_000)
    (5000, True)

    Args:
        setting: gives strengths by place.
        size: of the file at a strength; asked anew for strengths that were asked before.
        target: bytes.
    """
    sizes = {place: size(setting.at(place)) for place in ((0.0, 1.0) if setting.span else (0.0,))}
    low, high = 0.0, 1.0
    for _ in range(_ROUNDS if len(sizes) > 1 else 0):
        middle = (low + high) / 2
        sizes[middle] = size(setting.at(middle))
        low, high = (middle, high) if sizes[middle] <= target else (low, middle)
    place = nearest(sizes, target)
    return Found(place, setting.at(place), sizes[place], _slope(sizes, place))


def sought(
    setting: Setting, size: Size, target: int, known: Mapping[float, int], start: float, slope: float, tries: int
) -> tuple[Found, dict[float, int]]:
    """Return what a few costly files find, and all that is known then: by the slope, or between two files.

    >>> setting = Setting("keep", "keep", "pruning", "share", dict, (1e-4, 1.0))
    >>> sought(setting, lambda share: round(120_000 * share), 5_000, {}, 0.68, 9.0, 3)[0].size
    4871

    Args:
        setting: gives strengths by place.
        size: of the file at a strength.
        target: bytes.
        known: bytes by place, from the search for other sizes.
        start: the first place, where nothing is known.
        slope: of ln(bytes) against the place, as far as it is known.
        tries: files at most.
    """
    sizes, content = dict(known), (NEAR if setting.whole else CLOSE) * target
    slope = _within(slope, *_SLOPES)
    for _ in range(tries):
        if any(content <= size_of_file <= target for size_of_file in sizes.values()):
            break
        place = _next(sizes, target, slope) if sizes else start
        if setting.at(place) in map(setting.at, sizes):
            break
        sizes[place] = size(setting.at(place))
    place = nearest(sizes, target)
    return Found(place, setting.at(place), sizes[place], slope), sizes


def nearest(sizes: Mapping[float, int], target: int) -> float:
    """Return the key of the largest size that is not above the target, where it is near; else of the nearest size.

    >>> nearest({0.1: 90, 0.2: 101}, 100), nearest({0.1: 10, 0.2: 101}, 100), nearest({0.1: 300, 0.2: 400}, 100)
    (0.1, 0.2, 0.1)
    """
    below = [key for key, size in sizes.items() if size <= target]
    best = max(below, key=lambda key: sizes[key], default=None)
    if best is not None and sizes[best] >= NEAR * target:
        return best
    return min(sizes, key=lambda key: abs(math.log(sizes[key] / target)))


def _next(sizes: Mapping[float, int], target: int, slope: float) -> float:
    """Return the place to try after those of ``sizes``: below the first file that is too large."""
    aim = math.log(_AIM * target)
    above = min((place for place, size in sizes.items() if size > target), default=math.inf)
    below = max((place for place, size in sizes.items() if size <= target and place < above), default=-math.inf)
    if math.isinf(above) or math.isinf(below):
        edge = below if math.isinf(above) else above
        move = (aim - math.log(sizes[edge])) / slope
        return _within(edge + _within(move, -_STEP, _STEP), 0.0, 1.0)
    ends = math.log(sizes[below]), math.log(sizes[above])
    share = _within((aim - ends[0]) / (ends[1] - ends[0]), 0.1, 0.9)
    return below + share * (above - below)


def _slope(sizes: Mapping[float, int], place: float) -> float:
    """Return the slope of ln(bytes) between a place and the nearest one whose size differs by 2 % or more."""
    others = [other for other, size in sizes.items() if abs(math.log(size / sizes[place])) > 0.02]
    if not others:
        return 0.0
    other = min(others, key=lambda other: abs(other - place))
    return math.log(sizes[other] / sizes[place]) / (other - place)


def _within(value: float, low: float, high: float) -> float:
    """Return the value, or the end that it lies beyond."""
    return min(max(value, low), high)


def labels(settings: Iterable[Setting], family: str) -> tuple[str, ...]:
    """Return the labels of a family."""
    return tuple(setting.label for setting in settings if setting.family == family)
