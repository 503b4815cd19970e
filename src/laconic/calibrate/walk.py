"""Columns of a matrix quantized one after the other, each with the errors of those before it: a trellis per lane.

    min over v   Σ_r Σ_j h_j (x_rj − v_rj)² + rate · Σ bits_j(v_rj)     over paths v of the trellis,
    x_rj = (t_rj + Σ_{i<j} e_ri G_ij) / s_j,     e_ri = t_ri − v_ri s_i

x depends on what was chosen in the row before, so the costs of a path are not known beforehand: every survivor of the
Viterbi algorithm feeds its own errors forward (per-survivor processing) for the last ``window`` steps. What is older
is settled by the survivor that costs least, and taken off the later columns for good; survivors that disagree with it
are dropped, so that what is settled is one path. What all survivors agree on is settled at once.

Lanes are those of the coder, `laconic.format.coding.lanes`: values lie column by column, and lane l has every L-th of
them. Here L divides the number of rows, so that a lane keeps its rows, and lanes do not meet; else see
`laconic.calibrate.crossing`.

O(m n (n + 2^ν window)); not exact: survivors of one state are compared by what they have cost so far.

Source: Raheli, Polydoros & Tzou, "Per-survivor processing" (IEEE Trans. Communications 43, 1995), here for the
recursion of `laconic.calibrate.sequential` and the trellis of `laconic.quantize.lattice.viterbi`.
"""

import numpy as np

from laconic.compiled import compiled, inlined

FAR = 1e30
"""The cost of a state that cannot be."""


@inlined
def _cheaper(x, v, other, h, row, rate):  # type: ignore[no-untyped-def]
    """Return the cheaper of two integers for ``x``, and its cost."""
    last = len(row) - 1
    cost = h * (x - v) * (x - v) + rate * row[min(abs(v), last)]
    if other != v:
        less = h * (x - other) * (x - other) + rate * row[min(abs(other), last)]
        if less < cost:
            return other, less
    return v, cost


@inlined
def _towards(v, by):  # type: ignore[no-untyped-def]
    """Return the integer that lies ``by`` nearer to 0, or ``v`` where that is on the other side."""
    return v - by if v > by // 2 - 1 and v > 0 else v + by if v < 1 - by // 2 and v < 0 else v


@compiled
def rounded(targets, plain, feed, steps, heights, costs, classes, rate, first, last, fresh, out):  # type: ignore[no-untyped-def]
    """Quantize columns ``first`` to ``last`` without a trellis; arguments are those of `walked`."""
    for r in range(len(targets)):
        own = targets[r]
        for j in range(first, last):
            h, row = heights[j], costs[classes[j]]
            x = own[j] / steps[j]
            v = np.int64(np.rint(x))
            v, _ = _cheaper(x, v, _towards(v, 1), h, row, rate)
            v, _ = _cheaper(x, v, 0, h, row, rate)
            error = plain[r, j] - v * steps[j]
            out[r, j], fresh[r, j - first] = v, error
            for c in range(j + 1, last):
                own[c] += error * feed[j, c]


@inlined
def branches(x, plain, s, h, row, rate, state, cost, priced, missed):  # type: ignore[no-untyped-def]
    """Fill the two branches out of a state: what the path then costs, and its error."""
    for z in range(2):
        j = 2 * z + (state & 1)
        v = np.int64(np.rint((x - j) * 0.25)) * 4 + j
        v, bill = _cheaper(x, v, _towards(v, 4), h, row, rate)
        priced[state, z], missed[state, z] = cost + bill, plain - v * s


@inlined
def _copied(new, state, old, came, first, end):  # type: ignore[no-untyped-def]
    """Copy the places of steps ``first`` to ``end`` of a path's ring."""
    room = old.shape[1]
    first, end = first & (room - 1), end & (room - 1)
    for i in range(first, end if first <= end else room):
        new[state, i] = old[came, i]
    for i in range(end if first > end else 0):
        new[state, i] = old[came, i]


@inlined
def survivors(priced, missed, odd_xor, far_xor, start, t, old, new):  # type: ignore[no-untyped-def]
    """Fill the costs of all states after step ``t``, and the errors of the paths to them from ``start`` on."""
    states, room = new[1].shape
    least, at = FAR, t & (room - 1)
    for state in range(states):
        odd = 1 if state >= states >> 1 else 0
        base = state ^ odd_xor if odd else state
        near, far = (2 * base + odd) & (states - 1), (2 * (base ^ far_xor) + odd) & (states - 1)
        z = 1 if priced[far, 1] < priced[near, 0] else 0
        came = far if z else near
        new[0][state] = min(priced[came, z], FAR)
        least = min(least, new[0][state])
        if new[0][state] < FAR:
            _copied(new[1], state, old[1], came, start, t)
            new[1][state, at] = missed[came, z]
    for state in range(states):
        new[0][state] = new[0][state] - least if new[0][state] < FAR else FAR


@inlined
def agreed(cost, errors, at):  # type: ignore[no-untyped-def]
    """Return whether all paths have the same error, and so the same integer, at a place of the ring."""
    error = errors[np.argmin(cost), at]
    for state in range(len(cost)):
        if cost[state] < FAR and errors[state, at] != error:
            return False
    return True


@inlined
def settled(cost, errors, at):  # type: ignore[no-untyped-def]
    """Return the error of the best path at a place of the ring, and drop the paths that have another."""
    error = errors[np.argmin(cost), at]
    for state in range(len(cost)):
        if errors[state, at] != error:
            cost[state] = FAR
    return error


@inlined
def _ahead(errors, state, t, each, back, following):  # type: ignore[no-untyped-def]
    """Return what the open errors of a row, ``each`` steps apart, are to the column that follows."""
    mask, even, odd = errors.shape[1] - 1, 0.0, 0.0
    for d in range(1, back, 2):
        even += errors[state, (t - d * each) & mask] * following[d]
        odd += errors[state, (t - (d + 1) * each) & mask] * following[d + 1]
    if back & 1:
        even += errors[state, (t - back * each) & mask] * following[back]
    return even + odd


@compiled
def walked(  # type: ignore[no-untyped-def]
    targets, plain, feed, steps, heights, costs, classes, rate, trellis, lanes, window, span, low, kept, fresh, out,
):  # fmt: skip
    """Take columns through the trellis of each lane, and settle what paths agree on or is older than the window.

    Args:
        targets: t and what settled columns have added, shape (m, n), float64; changed up to the end of the span.
        plain: t, shape (m, n).
        feed: G, shape (n, n).
        steps: s_j, shape (n,).
        heights: h_j, shape (n,).
        costs: bits of each |v| in each class, float32.
        classes: of each column.
        rate: what a bit costs, in the units of h.
        trellis: ν, what an odd state changes of the next, and what z = 1 does.
        lanes: L, which divides m.
        window: steps of a lane that stay open.
        span: the first column to go through, and the one after the last; what is open at the end of all is settled.
        low: the first column that ``fresh`` has.
        kept: costs of each lane and state, shape (L, 2^ν), errors of the last steps of each survivor, float32, shape
            (L, 2^ν, a power of two above the window), and the first step that is open, shape (L,); from call to call.
        fresh: errors settled by this call, shape (m, last − low).
        out: v, shape (m, n), int32.
    """
    first, last = span
    rows, states, mask = len(targets), 1 << trellis[0], kept[1].shape[2] - 1
    each = rows // lanes
    priced, missed, following = np.full((states, 2), FAR), np.empty((states, 2), np.float32), np.empty(window + 2)
    for lane in range(lanes):
        old, start = (kept[0][lane].copy(), kept[1][lane].copy()), kept[2][lane]
        new = np.empty_like(old[0]), np.zeros_like(old[1])
        for j in range(first, last):
            t, s, h, row = j * each, steps[j], heights[j], costs[classes[j]]
            for d in range(1, min(j, window) + 1):
                following[d] = feed[j - d, j]
            for r in range(lane, rows, lanes):
                back = (t - start) // each  # columns of the row that are open
                for state in range(states):
                    if old[0][state] >= FAR:
                        priced[state] = FAR
                        continue
                    x = (targets[r, j] + _ahead(old[1], state, t, each, back, following)) / s
                    branches(x, plain[r, j], s, h, row, rate, state, old[0][state], priced, missed)
                survivors(priced, missed, trellis[1], trellis[2], start, t, old, new)
                old, new = new, old
                while start <= t and (t - start + 1 >= window or agreed(*old, start & mask)):
                    k, i = lane + start % each * lanes, start // each
                    out[k, i] = np.rint((plain[k, i] - settled(*old, start & mask)) / steps[i])
                    error = plain[k, i] - out[k, i] * steps[i]
                    fresh[k, i - low] = error
                    for c in range(i + (t - start) // each + 1, last):
                        targets[k, c] += error * feed[i, c]
                    start += 1
                t += 1
        if last == len(feed):
            best = np.argmin(old[0])
            for t in range(start, last * each):
                k, i = lane + t % each * lanes, t // each
                out[k, i] = np.rint((plain[k, i] - old[1][best, t & mask]) / steps[i])
        kept[0][lane], kept[1][lane] = old
        kept[2][lane] = start
