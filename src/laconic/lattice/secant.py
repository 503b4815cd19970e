"""Where to look next for the step at which a budget is met."""

import math
from collections.abc import Sequence

_APART = 0.05  # octaves between steps of which the slope is believed
_LASTING = 0.6  # of a drift, in the next pass


def next_step(seen: Sequence[tuple[float, float]], slope: float, aim: float) -> float:
    """Return log₂ of the next step: a secant through the last two trials, where these are on both sides or far apart.

    Between close steps the code lengths, which follow the integers one pass behind, change the excess more than the
    step does: a drift, of which a share is still to come.

    Args:
        seen: log₂ step and excess of each trial.
        slope: of the excess where there are no two trials.
        aim: the excess that is wanted, below 0.
    """
    (x, y), (last, before) = seen[-1], seen[-2] if len(seen) > 1 else seen[-1]
    if (y - aim) * (before - aim) < 0 and (y - before) / (x - last) * slope > 0:
        return x + (aim - y) * (x - last) / (y - before)
    drift = 0.0
    if abs(x - last) > _APART and (y - before) / (x - last) * slope > 0:
        slope = math.copysign(min(max(abs((y - before) / (x - last)), 0.5), 1.5), slope)
    elif len(seen) > 1:
        drift = _LASTING * (y - before - slope * (x - last))
    return x + min(max((aim - y - drift) / slope, -4.0), 4.0)
