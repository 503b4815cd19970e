"""The best path of integers through a trellis: distortion and rate, added up along it.

    min over v   Σ_i h_i (x_i − v_i − sgn(v_i) o_|v_i|)² + rate · Σ_i bits(v_i)   over paths v of the trellis

in units of the step. Each of the four subsets v mod 4 = j offers its integer next to x and the next one towards 0;
the Viterbi algorithm finds the best path over these, exactly. O(n 2^ν).

Source: Marcellin & Fischer, "Trellis coded quantization of memoryless and Gauss-Markov sources" (IEEE Trans.
Communications 38, 1990); with the rate: Fischer & Wang, "Entropy-constrained trellis-coded quantization" (IEEE Trans.
IT 38, 1992).
"""

import numpy as np

from laconic.compiled import compiled, inlined

FAR = np.float32(1e30)
"""The cost of a state that cannot be."""

SETTLE = 16
"""Steps after which the least cost is taken off all, lest floats lose their precision."""


@inlined
def _reach(v, offsets):  # type: ignore[no-untyped-def]
    """Return `v + sgn(v) o_|v|`."""
    a = abs(v)
    moved = np.float64(a) + offsets[min(a, len(offsets) - 1)]
    return moved if v >= 0 else -moved


@inlined
def _priced(x, v, h, row, rate, offsets):  # type: ignore[no-untyped-def]
    """Return the cost of ``v`` for ``x``."""
    error = x - _reach(v, offsets)
    return np.float32(h * error * error + rate * row[min(abs(v), len(row) - 1)])


@inlined
def offers(x, h, row, rate, offsets, metrics, offered):  # type: ignore[no-untyped-def]
    """Fill the best integer of each subset and its cost."""
    for j in range(4):
        v = np.int64(np.rint((x - j) * 0.25)) * 4 + j
        cost = _priced(x, v, h, row, rate, offsets)
        nearer = v - 4 if v > 1 else v + 4 if v < -1 else v
        if nearer != v:
            other = _priced(x, nearer, h, row, rate, offsets)
            if other < cost:
                v, cost = nearer, other
        metrics[j] = cost
        offered[j] = v


@compiled
def paths(values, weights, classes, inverse, costs, rate, offsets, nu, odd_xor, far_xor, lanes, out):  # type: ignore[no-untyped-def]
    """Fill and return the best integers, one path for each lane; a lane takes every ``lanes``-th value.

    Args:
        values: shape (n,), float32 or float64, class by class.
        weights: h, shape (n,), or (0,) for 1 throughout.
        classes: shape (n,), uint8.
        inverse: 1 / step.
        costs: bits of each |v| in each class, float32; |v| beyond the last costs what the last does.
        rate: what a bit costs, in units of step².
        offsets: o of |v| = 0, 1, …, in steps, float64; the first is 0.
        nu: ν.
        odd_xor: what an odd state changes of the next state.
        far_xor: what z = 1 does.
        lanes: how many paths.
        out: shape (n,), of a type that holds them.
    """
    states, half = 1 << nu, 1 << (nu - 1)
    longest = -(-len(values) // lanes)
    chosen = np.empty((longest, states), np.uint8)
    offered = np.empty((longest, 4), np.int64)
    metrics = np.empty(4, np.float32)
    cost, new = np.empty(states, np.float32), np.empty(states, np.float32)
    for lane in range(min(lanes, len(values))):
        cost[:] = FAR
        cost[0] = 0
        steps = (len(values) - lane - 1) // lanes + 1
        for t in range(steps):
            i = t * lanes + lane
            h = weights[i] if len(weights) else 1.0
            offers(values[i] * inverse, h, costs[classes[i]], rate, offsets, metrics, offered[t])
            decision = chosen[t]
            for s in range(half):
                nearer, far = cost[2 * s] + metrics[0], cost[2 * (s ^ far_xor)] + metrics[2]
                new[s] = min(nearer, far)
                decision[s] = far < nearer
                r = s + half
                nearer = cost[2 * (r ^ odd_xor) + 1] + metrics[1]
                far = cost[2 * (r ^ odd_xor ^ far_xor) + 1] + metrics[3]
                new[r] = min(nearer, far)
                decision[r] = far < nearer
            cost, new = new, cost
            if t % SETTLE == 0:
                cost -= cost.min()
        s = int(np.argmin(cost))
        for t in range(steps - 1, -1, -1):
            z = np.int64(chosen[t, s])
            odd = s >= half
            out[t * lanes + lane] = offered[t, 2 * z + odd]
            s = 2 * (s ^ (odd_xor if odd else 0) ^ (far_xor if z else 0)) + odd
    return out
