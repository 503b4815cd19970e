"""Tag 6: the sum of its parts."""

import numpy as np


def summed(shape, dtype, facts, *parts):
    """The sum of the parts, in order, in float64."""
    return sum((part.astype(np.float64) for part in parts), np.zeros(shape))
