"""The paths of `laconic.quantize.lattice.viterbi`, many lanes abreast: the same integers in half the time.

The states of all lanes of a block take a step together, in vectors. Of a weight x that is no integer, the integers
next to |x| in the four subsets are ⌊|x|⌋ − 1 to ⌊|x|⌋ + 2, and those next to them towards 0 the four before these:
eight neighbours in a table of what lies where and costs what. Where there is none towards 0, |v| ≤ 1, it costs
infinity.
"""

import numpy as np

from laconic.compiled import compiled, inlined
from laconic.quantize.lattice.viterbi import FAR, SETTLE, offers

BLOCK = 64
"""Lanes that take a step together: what they need stays in the cache, and vectors are full."""

_BEFORE = 5  # places of the tables before that of 0
_LEAST = -2  # the integer next to 2 towards 0 in its subset; below are none


@compiled
def _tables(costs, rate, offsets):  # type: ignore[no-untyped-def]
    """Return where the integers from -5 on lie, and what each costs beside its error in each class."""
    classes, width = costs.shape
    reach, prices = np.empty(width + _BEFORE), np.full((classes, width + _BEFORE), np.inf)
    for place in range(width + _BEFORE):
        v = place - _BEFORE
        a = abs(v)
        moved = np.float64(a) + offsets[min(a, len(offsets) - 1)]
        reach[place] = moved if v >= 0 else -moved
        for k in range(classes if v >= _LEAST else 0):
            prices[k, place] = rate * costs[k, min(a, width - 1)]
    return reach, prices


@inlined
def _cost(a, h, place, reach, price):  # type: ignore[no-untyped-def]
    """Return what the integer at a place of the tables costs."""
    error = a - reach[place]
    return np.float32(h * error * error + price[place])


@inlined
def _window(a, h, below, sign, reach, price, metrics, lane):  # type: ignore[no-untyped-def]
    """Fill the cost of the best integer of each subset for |x| = ``a``; return in which it is the one towards 0."""
    p = np.uint64(below)
    c0, c4 = _cost(a, h, p, reach, price), _cost(a, h, p + np.uint64(4), reach, price)
    c1, c5 = _cost(a, h, p + np.uint64(1), reach, price), _cost(a, h, p + np.uint64(5), reach, price)
    c2, c6 = _cost(a, h, p + np.uint64(2), reach, price), _cost(a, h, p + np.uint64(6), reach, price)
    c3, c7 = _cost(a, h, p + np.uint64(3), reach, price), _cost(a, h, p + np.uint64(7), reach, price)
    j0, j1 = np.uint64(((below - 1) * sign) & 3), np.uint64((below * sign) & 3)
    j2, j3 = np.uint64(((below + 1) * sign) & 3), np.uint64(((below + 2) * sign) & 3)
    metrics[j0, lane] = c0 if c0 < c4 else c4
    metrics[j1, lane] = c1 if c1 < c5 else c5
    metrics[j2, lane] = c2 if c2 < c6 else c6
    metrics[j3, lane] = c3 if c3 < c7 else c7
    low, high = np.uint8(c0 < c4) << j0 | np.uint8(c1 < c5) << j1, np.uint8(c2 < c6) << j2 | np.uint8(c3 < c7) << j3
    return np.uint8(low | high)


@inlined
def _next_to(x, j):  # type: ignore[no-untyped-def]
    """Return the integer of subset ``j`` next to ``x``."""
    return np.int64(np.rint((x - j) * 0.25)) * 4 + j


@inlined
def _offered(x, h, row, rate, offsets, metrics, lane, few, integers):  # type: ignore[no-untyped-def]
    """Do what `_window` does for any ``x``; ``few`` and ``integers`` have room for four numbers."""
    offers(x, h, row, rate, offsets, few, integers)
    nearer = np.int64(0)
    for j in range(4):
        metrics[j, lane] = few[j]
        nearer |= np.int64(integers[j] != _next_to(x, j)) << j
    return np.uint8(nearer)


@compiled
def _step(cost, new, metrics, decision, odd_xor, far_xor):  # type: ignore[no-untyped-def]
    """Let the states of all lanes take a step: ``new`` costs from ``cost``, and a bit a state, whether it was z = 1."""
    states, lanes = cost.shape
    for lane in range(lanes):
        decision[lane] = 0
    for s in range(states):
        odd = np.int64(s >= states >> 1)
        r = s ^ odd_xor if odd else s
        p, q = cost[(2 * r + odd) & (states - 1)], cost[(2 * (r ^ far_xor) + odd) & (states - 1)]
        here, there, to, bit = metrics[odd], metrics[2 + odd], new[s], np.uint64(s)
        for lane in range(lanes):
            near, far = p[lane] + here[lane], q[lane] + there[lane]
            further = far < near
            to[lane] = far if further else near
            decision[lane] |= np.uint64(further) << bit


@compiled
def _settled(cost):  # type: ignore[no-untyped-def]
    """Take the least cost off all, in each lane."""
    states, lanes = cost.shape
    for lane in range(lanes):
        least = cost[0, lane]
        for s in range(1, states):
            least = cost[s, lane] if cost[s, lane] < least else least
        for s in range(states):
            cost[s, lane] -= least


@compiled
def _traced(values, inverse, cost, chosen, nearer, first, lane, lanes, odd_xor, far_xor, out):  # type: ignore[no-untyped-def]
    """Fill the integers of a lane, from its last to its first."""
    half, s = len(cost) >> 1, 0
    for r in range(1, len(cost)):
        s = r if cost[r, lane] < cost[s, lane] else s
    start = first + lane
    for t in range((len(values) - start - 1) // lanes, -1, -1):
        z, odd = np.int64(chosen[t, lane] >> np.uint64(s)) & 1, np.int64(s >= half)
        j, i = 2 * z + odd, t * lanes + start
        v = _next_to(values[i] * inverse, j)
        by = 4 * ((np.int64(nearer[t, lane]) >> j) & 1)
        out[i] = v - by if v > 0 else v + by
        s = 2 * (s ^ (odd_xor * odd) ^ (far_xor * z)) + odd


@compiled
def abreast(values, weights, classes, inverse, costs, rate, offsets, nu, odd_xor, far_xor, lanes, out):  # type: ignore[no-untyped-def]
    """Do what `laconic.quantize.lattice.viterbi.paths` does, of the same arguments, to the bit."""
    longest, end = -(-len(values) // lanes), costs.shape[1] - 4
    reach, prices = _tables(costs, rate, offsets)
    most = min(BLOCK, lanes, len(values))
    chosen, nearer = np.empty((longest, most), np.uint64), np.empty((longest, most), np.uint8)
    few, integers = np.empty(4, np.float32), np.empty(4, np.int64)
    for first in range(0, min(lanes, len(values)), BLOCK):
        width = min(most, lanes - first, len(values) - first)
        table, metrics, now = np.full((2, 1 << nu, width), FAR), np.empty((4, width), np.float32), 0
        table[0, 0] = 0
        for t in range(longest):
            here = min(width, len(values) - t * lanes - first)  # the last step is not of all lanes
            for lane in range(here):
                i = t * lanes + first + lane
                h, x, k = weights[i] if len(weights) else 1.0, values[i] * inverse, classes[i]
                a = abs(x)
                if a < end and a != np.floor(a):
                    sign = np.int64(-1) if x < 0 else np.int64(1)
                    nearer[t, lane] = _window(a, h, np.int64(a), sign, reach, prices[k], metrics, lane)
                else:
                    nearer[t, lane] = _offered(x, h, costs[k], rate, offsets, metrics, lane, few, integers)
            _step(table[now], table[1 - now], metrics, chosen[t, :width], odd_xor, far_xor)
            for lane in range(max(here, 0), width):
                table[1 - now, :, lane] = table[now, :, lane]  # it has ended
            now = 1 - now
            if t % SETTLE == 0:
                _settled(table[now])
        for lane in range(width):
            _traced(values, inverse, table[now], chosen, nearer, first, lane, lanes, odd_xor, far_xor, out)
    return out
