"""Where to look next for the step at which a budget is met."""

import math
from collections.abc import Sequence

_APART = 0.05  # octaves between steps of which the slope is believed
_LASTING = 0.6  # of a drift, in the next pass
_FLATTEST, _STEEPEST = 0.01, 3.0  # slopes that are believed
_GROWTH, _LEAST = 3.0, 0.01  # of the way, while it leads nowhere
_FARTHEST = 4.0  # octaves that are gone at a time


def next_step(seen: Sequence[tuple[float, float]], slope: float, aim: float) -> float:
    """Return log₂ of the next step: a secant through the last two trials, where these are on both sides or far apart.

    Between close steps the code lengths, which follow the integers one pass behind, change the excess more than the
    step does: a drift, of which a share is still to come.

    Args:
        seen: log₂ step and excess of each trial.
        slope: of the excess where there are no two trials.
        aim: the excess that is wanted, below 0.
    """
    (x, y), (excess, before) = seen[-1], seen[-2] if len(seen) > 1 else seen[-1]
    if (y - aim) * (before - aim) < 0 and (y - before) / (x - excess) * slope > 0:
        return x + (aim - y) * (x - excess) / (y - before)
    drift = 0.0
    if abs(x - excess) > _APART and (y - before) / (x - excess) * slope > 0:
        slope = math.copysign(min(max(abs((y - before) / (x - excess)), _FLATTEST), _STEEPEST), slope)
    elif len(seen) > 1:
        drift = _LASTING * (y - before - slope * (x - excess))
    return x + min(max((aim - y - drift) / slope, -_FARTHEST), _FARTHEST)


def between(seen: Sequence[tuple[float, float]], slope: float) -> float:
    """Return where a monotone function of which some values are known is 0: regula falsi, or a secant on one side.

    Args:
        seen: places and values.
        slope: of the function where one place is known.
    """
    x, y = seen[-1]
    left = [point for point in seen if point[1] * slope <= 0]
    right = [point for point in seen if point[1] * slope > 0]
    if left and right and max(left)[0] < min(right)[0]:
        (a, f), (b, g) = max(left), min(right)
        stuck = len(seen) > 2 and (seen[-1][1] > 0) == (seen[-2][1] > 0)  # the same side twice: from now on the middle
        return a + (b - a) * (0.5 if stuck else min(max(f / (f - g), 0.05), 0.95))
    if len(seen) > 1:
        excess, before = min(seen[:-1], key=lambda point: abs(point[1]))
        if x != excess and (y - before) / (x - excess) * slope > 0:
            slope = (y - before) / (x - excess)
    way = min(max(y / slope, -1.0), 1.0)
    if len(seen) > 2 and (y > 0) == (seen[-2][1] > 0):  # it is not where it was thought to be
        way = math.copysign(max(abs(way), _GROWTH * abs(x - seen[-2][0]), _LEAST), way)
    return x - way
