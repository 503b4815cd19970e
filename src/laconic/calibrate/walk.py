"""The columns of a matrix quantized one after the other, each with the errors of those before it: a trellis per lane.

    min over v   Σ_r Σ_j h_j (x_rj − v_rj)² + rate · Σ bits_j(v_rj)     over paths v of the trellis,
    x_rj = (t_rj + Σ_{i<j} e_ri G_ij) / s_j,     e_ri = t_ri − v_ri s_i

x depends on what was chosen in the row before, so the costs of a path are not known beforehand: every survivor of the
Viterbi algorithm feeds its own errors forward (per-survivor processing) for the last ``window`` steps. What is older
is settled by the survivor that costs least, and taken off the later columns for good; survivors that disagree with it
are dropped, so that what is settled is one path. What all survivors agree on is settled at once.

Weights come in the order of the coder, and so do lanes (`laconic.format.coding.lanes`): the weight at place p is in
lane p mod L. Where a row changes its lane, what was chosen earlier in it lies on the paths of other lanes, and is not
known for good for as long as it is open there: in its place stands what the best path of that lane has now, for all
survivors of this one. What is settled is exact, whatever stood for it: errors are those of the integers.

O(m n (n + 2^ν window)); not exact: survivors of one state are compared by what they have cost so far.

Source: Raheli, Polydoros & Tzou, "Per-survivor processing" (IEEE Trans. Communications 43, 1995), here for the
recursion of `laconic.calibrate.sequential` and the trellis of `laconic.quantize.lattice.viterbi`.
"""

import numpy as np

from laconic.compiled import compiled, inlined

FAR = 1e30
"""The cost of a state that cannot be."""

_AHEAD, _SETTLED = -1, -2  # in place of the place of a weight that is open


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


@compiled
def rounded(targets, plain, feed, steps, heights, groups, costs, rows, columns, classes, rate, out):  # type: ignore[no-untyped-def]
    """Quantize without a trellis; arguments are those of `walked`."""
    for place in range(len(rows)):
        r, j = rows[place], columns[place]
        g = groups[r]
        h, row, x = heights[g, j], costs[classes[place]], targets[r, j] / steps[j]
        v = np.int64(np.rint(x))
        v, _ = _cheaper(x, v, _towards(v, 1), h, row, rate)
        v, _ = _cheaper(x, v, 0, h, row, rate)
        out[r, j] = v
        if len(feed):
            error = plain[r, j] - v * steps[j]
            for c in range(j + 1, targets.shape[1]):
                targets[r, c] += error * feed[g, j, c]


@inlined
def _open(places, errors, r, j, first, lane, lanes, mask, forward, ring, fed):  # type: ignore[no-untyped-def]
    """Return what open weights of a row in other lanes are to column j, and fill in those of this lane: how many."""
    many, other = 0, 0.0
    for i in range(first, j):
        place = places[r, i]
        if place >= 0:
            if place % lanes == lane:
                ring[many], fed[many] = (place // lanes) & mask, forward[i, j]
                many += 1
            else:
                other += errors[r, i] * forward[i, j]
    return other, many


@inlined
def _ended(plain, steps, rows, columns, lanes, mask, starts, costs_of, errors_of, out):  # type: ignore[no-untyped-def]
    """Settle what is open at the end by the best path of each lane."""
    for lane in range(lanes):
        end = (len(rows) - lane + lanes - 1) // lanes
        errors = errors_of[end & 1, lane, np.argmin(costs_of[end & 1, lane])]
        for then in range(starts[lane], end):
            at = then * lanes + lane
            k, c = rows[at], columns[at]
            out[k, c] = np.rint((plain[k, c] - errors[then & mask]) / steps[c])


@inlined
def _extended(x, plain, s, h, row, rate, trellis, start, t, old, new, ring, fed, many, priced, missed):  # type: ignore[no-untyped-def]
    """Take every path a step on: each feeds its own errors in what is open into ``x``."""
    for state in range(len(old[0])):
        priced[state, 0] = priced[state, 1] = FAR
        if old[0][state] < FAR:
            own = x
            for k in range(many):
                own += old[1][state, ring[k]] * fed[k]
            branches(own / s, plain, s, h, row, rate, state, old[0][state], priced, missed)
    survivors(priced, missed, trellis[1], trellis[2], start, t, old, new)


@inlined
def _shown(new, rows, columns, lane, lanes, mask, start, end, best_errors):  # type: ignore[no-untyped-def]
    """Put the errors of a lane's best path where other lanes see them."""
    best = np.argmin(new[0])
    for then in range(start, end):
        at = then * lanes + lane
        best_errors[rows[at], columns[at]] = new[1][best, then & mask]


@inlined
def _fed(targets, error, feed, r, j):  # type: ignore[no-untyped-def]
    """Let all later columns of a row make good an error; to those that have been read it does nothing."""
    for later in range(j + 1, targets.shape[1]):
        targets[r, later] += error * feed[j, later]


@compiled
def walked(  # type: ignore[no-untyped-def]
    targets, plain, feed, steps, heights, groups, costs, rows, columns, classes, rate, trellis, lanes, window, out,
):  # fmt: skip
    """Take the weights through the trellis of each lane, and settle what paths agree on or is older than the window.

    Args:
        targets: t, shape (m, n), float64, columns in the order in which each row is coded; changed.
        plain: t, shape (m, n).
        feed: G of each group of rows, shape (groups, n, n); or (0, n, n) where no error is fed forward.
        steps: s_j, shape (n,).
        heights: h_j of each group, shape (groups, n).
        groups: of each row, shape (m,).
        costs: bits of each |v| in each class, float32.
        rows: of the weight at each place of the coder's order, shape (m n,).
        columns: likewise; where a row's do not come in their order, errors go to those alone that come later in both.
        classes: likewise.
        rate: what a bit costs, in the units of h.
        trellis: ν, what an odd state changes of the next, and what z = 1 does.
        lanes: L.
        window: steps of a lane that stay open.
        out: v, shape (m, n), int32.
    """
    (m, n), states, room, fed_forward = targets.shape, 1 << trellis[0], 1, len(feed) > 0
    while room <= window:
        room <<= 1
    mask = room - 1
    costs_of, errors_of = np.full((2, lanes, states), FAR), np.zeros((2, lanes, states, room), np.float32)
    costs_of[:, :, 0] = 0
    starts, firsts = np.zeros(lanes, np.int64), np.zeros(m, np.int64)
    best_errors, places = np.zeros((m, n), np.float32), np.full((m, n), _AHEAD, np.int64)  # of what is open
    priced, missed = np.full((states, 2), FAR), np.empty((states, 2), np.float32)
    ring, fed = np.empty(n, np.int64), np.empty(n)
    for place in range(len(rows)):
        r, j, lane, t = rows[place], columns[place], place % lanes, place // lanes
        g, s, x, many = groups[r], steps[j], targets[r, j], 0
        old = costs_of[t & 1, lane], errors_of[t & 1, lane]
        new = costs_of[1 - (t & 1), lane], errors_of[1 - (t & 1), lane]
        if fed_forward:
            while firsts[r] < j and places[r, firsts[r]] == _SETTLED:
                firsts[r] += 1
            other, many = _open(places, best_errors, r, j, firsts[r], lane, lanes, mask, feed[g], ring, fed)
            x += other
        row, h = costs[classes[place]], heights[g, j]
        _extended(x, plain[r, j], s, h, row, rate, trellis, starts[lane], t, old, new, ring, fed, many, priced, missed)
        places[r, j] = place
        if lanes > 1 and fed_forward:
            _shown(new, rows, columns, lane, lanes, mask, starts[lane], t + 1, best_errors)
        while starts[lane] <= t and (t - starts[lane] + 1 >= window or agreed(*new, starts[lane] & mask)):
            at = starts[lane] * lanes + lane
            k, c = rows[at], columns[at]
            out[k, c] = np.rint((plain[k, c] - settled(*new, starts[lane] & mask)) / steps[c])
            places[k, c] = _SETTLED
            if fed_forward:
                _fed(targets, plain[k, c] - out[k, c] * steps[c], feed[groups[k]], k, c)
            starts[lane] += 1
    _ended(plain, steps, rows, columns, lanes, mask, starts, costs_of, errors_of, out)
