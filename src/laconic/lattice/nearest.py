"""The best integer for each weight by itself: distortion and rate.

    min over v   h (x − v − sgn(v) o_|v|)² + rate · bits(v)

in units of the step, over the two integers next to x, the next one towards 0, and 0: with costs that rise with |v|
there is no better one, but for weights of tiny h. O(n).

Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables" (IEEE Trans. IT 42,
1996); the weights near 0 that go to 0 although ±1 is nearer are its dead zone.
"""

import numpy as np

from laconic.coding.compiled import compiled, inlined


@inlined
def _priced(a, u, h, row, rate, offsets):  # type: ignore[no-untyped-def]
    """Return the cost of magnitude ``u`` for magnitude ``a``."""
    error = a - (np.float64(u) + offsets[min(u, len(offsets) - 1)])
    return h * error * error + rate * row[min(u, len(row) - 1)]


@compiled
def nearest(values, weights, classes, inverse, costs, rate, offsets):  # type: ignore[no-untyped-def]
    """Return the best integers, int64, shape (n,). Arguments are those of `laconic.lattice.viterbi.paths`."""
    out = np.empty(len(values), np.int64)
    for i in range(len(values)):
        x = values[i] * inverse
        a = abs(x)
        below = int(a)
        h = weights[i] if len(weights) and rate > 0 else 1.0  # without a rate the nearest is the best for every h
        row = costs[classes[i]]
        best, cost = below, _priced(a, below, h, row, rate, offsets)
        other = _priced(a, below + 1, h, row, rate, offsets)
        if other < cost:
            best, cost = below + 1, other
        if below > 0:
            other = _priced(a, below - 1, h, row, rate, offsets)
            if other < cost:
                best, cost = below - 1, other
            other = _priced(a, 0, h, row, rate, offsets)
            if other < cost:
                best = 0
        out[i] = best if x >= 0 else -best
    return out
