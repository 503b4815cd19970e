"""The best integer for each weight by itself: distortion and rate.

    min over v   h (x − v − sgn(v) o_|v|)² + rate · bits(v)

in units of the step. For one h the cost of |v| = u is a line in a = |x|, −2 h r_u a + h r_u² + rate · bits(u) with
r_u = u + o_u, beside h a² which all share; the best u for each a is the lower envelope of these lines, found once for
each class, and a weight is looked up in it: exact over all |v| below 1024, O(1). Weights with an h of their own
compare the integers next to x, the next one towards 0, and 0.

Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables" (IEEE Trans. IT 42,
1996); the weights near 0 that go to 0 although ±1 is nearer are its dead zone.
"""

import math

import numpy as np

from laconic.compiled import compiled, inlined

FINE = 32
"""Places in each step where the envelope is looked up: so many that what is found there is mostly the answer."""


_BESIDE = 3
"""Steps from a weight to the nearest integer, with its offset, at most."""


def nearest(
    values: np.ndarray, weights: np.ndarray, classes: np.ndarray, inverse: float, costs: np.ndarray, rate: float,
    offsets: np.ndarray, out: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Fill and return the best integers. Arguments are those of `laconic.quantize.lattice.viterbi.paths`."""
    if len(weights) and rate > 0:  # without a rate the nearest is the best for every h
        return np.asarray(_weighted(values, weights, classes, inverse, costs, rate, offsets, out))
    most = float(max(values.max(), -values.min())) * inverse if len(values) else 0.0
    farthest = most + math.sqrt(rate * float(costs.max())) + _BESIDE  # nobody goes farther for cheaper bits
    near = costs[:, : int(min(farthest, costs.shape[1] - 1)) + 1]
    first, ends, following = _envelopes(near.astype(np.float64) * rate, offsets)
    return np.asarray(_looked_up(values, classes, inverse, first, ends, following, offsets[-1], out))


@compiled
def _envelopes(prices, offsets):  # type: ignore[no-untyped-def]
    """Return the envelope of each class: the best u at a = 0, 1/32, …, where u stops to be the best, and which is next.

    Args:
        prices: rate · bits of each u, shape (classes, n).
        offsets: o of |v| = 0, 1, …, the last for all larger.
    """
    classes, n = prices.shape
    first, following = np.empty((classes, n * FINE), np.int16), np.zeros((classes, n), np.int64)
    ends = np.full((classes, n), np.inf)
    reach = np.arange(n) + offsets[np.minimum(np.arange(n), len(offsets) - 1)]
    hull, starts = np.empty(n, np.int64), np.empty(n)
    for k in range(classes):
        size = 0
        for u in range(n):
            start = -np.inf
            while size:
                line = hull[size - 1]
                start = (reach[u] + reach[line]) / 2 + (prices[k, u] - prices[k, line]) / (2 * (reach[u] - reach[line]))
                if start > starts[size - 1]:
                    break
                size -= 1
            hull[size], starts[size] = u, start if size else -np.inf
            size += 1
        place = 0
        for a in range(n * FINE):
            while place + 1 < size and starts[place + 1] * FINE <= a:
                place += 1
            first[k, a] = hull[place]
        for place in range(size - 1):
            ends[k, hull[place]], following[k, hull[place]] = starts[place + 1], hull[place + 1]
    return first, ends, following


@compiled
def _looked_up(values, classes, inverse, first, ends, following, offset, out):  # type: ignore[no-untyped-def]
    """Return the best integer of each value; beyond the envelope the nearest, moved by ``offset``."""
    n = ends.shape[1]
    for i in range(len(values)):
        x = values[i] * inverse
        a = abs(x)
        below = int(a)
        if below < n - 1:
            k = classes[i]
            u = first[k, int(a * FINE)]
            while a > ends[k, u]:
                u = following[k, u]
        else:
            u = int(np.rint(a - offset))
        out[i] = u if x >= 0 else -u
    return out


@inlined
def _priced(a, u, h, row, rate, offsets):  # type: ignore[no-untyped-def]
    """Return the cost of magnitude ``u`` for magnitude ``a``."""
    error = a - (np.float64(u) + offsets[min(u, len(offsets) - 1)])
    return h * error * error + rate * row[min(u, len(row) - 1)]


@compiled
def _weighted(values, weights, classes, inverse, costs, rate, offsets, out):  # type: ignore[no-untyped-def]
    """Return the best of four integers for each value with its own h."""
    for i in range(len(values)):
        x = values[i] * inverse
        a = abs(x)
        below = int(a)
        h, row = weights[i], costs[classes[i]]
        best, cost = below, _priced(a, below, h, row, rate, offsets)
        for u in (below + 1, max(below - 1, 0), 0):
            other = _priced(a, u, h, row, rate, offsets)
            if other < cost:
                best, cost = u, other
        out[i] = best if x >= 0 else -best
    return out
