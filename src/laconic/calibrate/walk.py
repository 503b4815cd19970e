"""The columns of a matrix quantized one after the other, each with the errors of those before it: a trellis per lane.

    min over v   Σ_r Σ_j h_j l_r (x_rj − v_rj)² + rate · Σ bits_j(v_rj)     over paths v of the trellis,
    x_rj = (t_rj + Σ_{i<j} e_ri G_ij + Σ_{q<r} c_qj K_qr) / s_j,  e_ri = t_ri − v_ri s_i,  c_qj = Σ_{i≤j} e_qi G_ij

x depends on what was chosen in the row before, so the costs of a path are not known beforehand: every survivor of the
Viterbi algorithm feeds its own errors forward (per-survivor processing) for the last ``window`` steps. What is older
is settled by the survivor that costs least, and taken off the later columns for good; survivors that disagree with it
are dropped, so that what is settled is one path. What all survivors agree on is settled at once.

Weights come in the order of the coder, and so do lanes (`laconic.format.coding.lanes`): the weight at place p is in
lane p mod L. Where each row stays in one lane, lanes are gone through one after the other, and all that a weight has to
know is settled or on its own path. Else they are gone through side by side: where a row changes its lane, what was
chosen earlier in it lies on the paths of other lanes, and is not known for good for as long as it is open there. In its
place stands what the best path of that lane has now, for all survivors of this one; and rows do not know of each other,
for what one lane has only just chosen says nothing to the next. What is settled is exact, whatever stood for it: errors
are those of the integers.

O(m n (m + n + 2^ν window)); not exact: survivors of one state are compared by what they have cost so far.

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
def rounded(  # type: ignore[no-untyped-def]
    targets, plain, feed, steps, heights, groups, across, lifts, costs, rows, columns, classes, rate, out,
):  # fmt: skip
    """Quantize without a trellis, weights in any order that has lanes apart; arguments are those of `walked`."""
    done = np.zeros(targets.shape, np.bool_)
    for place in range(len(rows)):
        r, j = rows[place], columns[place]
        g, x = groups[r], targets[r, j]
        for q in range(r if len(across) else 0):
            if done[q, j]:
                x += across[q, r] * (targets[q, j] - out[q, j] * steps[j])
        done[r, j] = True
        h, row, x = heights[g, j] * lifts[r], costs[classes[place]], x / steps[j]
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
def _above(targets, out, plain, feed, steps, across, places, firsts, r, first, j, lanes, mask, ring, fed, many):  # type: ignore[no-untyped-def]
    """Return what rows from ``first`` to r, all of this lane, are to row r in column j, and go on filling what is open.

    Rows that have not come to the column yet, as may be where classes are cut off, say nothing.
    """
    others = 0.0
    for q in range(first, r):
        share, place = across[q, r], places[q, j]
        if place == _AHEAD:
            continue
        error = targets[q, j] - plain[q, j]
        if place == _SETTLED:
            error = targets[q, j] - out[q, j] * steps[j]
        else:
            ring[many], fed[many] = (place // lanes) & mask, share
            many += 1
        while firsts[q] < j and places[q, firsts[q]] == _SETTLED:
            firsts[q] += 1
        for i in range(firsts[q], j):
            if places[q, i] >= 0:
                ring[many], fed[many] = (places[q, i] // lanes) & mask, share * feed[i, j]
                many += 1
        others += share * error
    return others, many


@inlined
def _fed(targets, error, feed, r, j):  # type: ignore[no-untyped-def]
    """Let all later columns of a row make good an error; to those that have been read it does nothing."""
    for later in range(j + 1, targets.shape[1]):
        targets[r, later] += error * feed[j, later]


@inlined
def _ended(targets, plain, feed, steps, groups, rows, columns, lane, lanes, mask, start, cost, errors, places, out):  # type: ignore[no-untyped-def]
    """Settle what a lane still has open at its end by its best path."""
    best = np.argmin(cost)
    for then in range(start, (len(rows) - lane + lanes - 1) // lanes):
        k, c = rows[then * lanes + lane], columns[then * lanes + lane]
        out[k, c] = np.rint((plain[k, c] - errors[best, then & mask]) / steps[c])
        places[k, c] = _SETTLED
        if len(feed):
            _fed(targets, plain[k, c] - out[k, c] * steps[c], feed[groups[k]], k, c)


@inlined
def _passed_on(targets, out, steps, across, places, first, end, beside):  # type: ignore[no-untyped-def]
    """Let the rows of all later lanes know of the errors of rows ``first`` to ``end``."""
    m, n = targets.shape
    for q in range(first, end):
        for r in range(end, m):
            for j in range(n):
                if places[q, j] == _SETTLED:
                    beside[r, j] += across[q, r] * (targets[q, j] - out[q, j] * steps[j])


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


@compiled
def walked(  # type: ignore[no-untyped-def]
    targets, plain, feed, steps, heights, groups, across, lifts, costs, rows, columns, classes, rate, trellis, lanes,
    apart, window, out,
):  # fmt: skip
    """Take the weights through the trellis of each lane, and settle what paths agree on or is older than the window.

    Args:
        targets: t, shape (m, n), float64, rows and columns in the order in which they are chosen; changed.
        plain: t, shape (m, n).
        feed: G of each group of rows, shape (groups, n, n); or (0, n, n) where no error is fed forward.
        steps: s_j, shape (n,).
        heights: h_j of each group, shape (groups, n).
        groups: of each row, shape (m,).
        across: K, shape (m, m), if lanes are apart; or (0, 0) where rows do not know of each other.
        lifts: l_r, shape (m,).
        costs: bits of each |v| in each class, float32.
        rows: of the weight at each place of the coder's order, shape (m n,).
        columns: likewise; where a row's do not come in their order, errors go to those alone that come later in both.
        classes: likewise.
        rate: what a bit costs, in the units of h.
        trellis: ν, what an odd state changes of the next, and what z = 1 does.
        lanes: L.
        apart: whether each row is in one lane, m / L of them in each, in their order.
        window: steps of a lane that stay open.
        out: v, shape (m, n), int32.
    """
    (m, n), states, room, fed_forward = targets.shape, 1 << trellis[0], 1, len(feed) > 0
    while room <= window:
        room <<= 1
    mask, each = room - 1, m // lanes
    costs_of, errors_of = np.full((2, lanes, states), FAR), np.zeros((2, lanes, states, room), np.float32)
    costs_of[:, :, 0] = 0
    starts, firsts = np.zeros(lanes, np.int64), np.zeros(m, np.int64)
    best_errors, places = np.zeros((m, n), np.float32), np.full((m, n), _AHEAD, np.int64)  # of what is open
    beside, priced, missed = np.zeros((m, n)), np.full((states, 2), FAR), np.empty((states, 2), np.float32)
    ring, fed = np.empty(n + room, np.int64), np.empty(n + room)
    for turn in range(len(rows)):
        lane, t = (turn // (each * n), turn % (each * n)) if apart else (turn % lanes, turn // lanes)
        place = t * lanes + lane
        r, j = rows[place], columns[place]
        g, s, x, many = groups[r], steps[j], targets[r, j] + beside[r, j], 0
        old = costs_of[t & 1, lane], errors_of[t & 1, lane]
        new = costs_of[1 - (t & 1), lane], errors_of[1 - (t & 1), lane]
        if fed_forward:
            while firsts[r] < j and places[r, firsts[r]] == _SETTLED:
                firsts[r] += 1
            other, many = _open(places, best_errors, r, j, firsts[r], lane, lanes, mask, feed[g], ring, fed)
            x += other
        if len(across):
            known = places, firsts, r, lane * each, j, lanes, mask, ring, fed, many
            other, many = _above(targets, out, plain, feed[g], steps, across, *known)
            x += other
        row, h = costs[classes[place]], heights[g, j] * lifts[r]
        _extended(x, plain[r, j], s, h, row, rate, trellis, starts[lane], t, old, new, ring, fed, many, priced, missed)
        places[r, j] = place
        if not apart and fed_forward:
            _shown(new, rows, columns, lane, lanes, mask, starts[lane], t + 1, best_errors)
        while starts[lane] <= t and (t - starts[lane] + 1 >= window or agreed(*new, starts[lane] & mask)):
            at = starts[lane] * lanes + lane
            k, c = rows[at], columns[at]
            out[k, c] = np.rint((plain[k, c] - settled(*new, starts[lane] & mask)) / steps[c])
            places[k, c] = _SETTLED
            if fed_forward:
                _fed(targets, plain[k, c] - out[k, c] * steps[c], feed[groups[k]], k, c)
            starts[lane] += 1
        if place + lanes >= len(rows):
            still = lane, lanes, mask, starts[lane], *new, places, out
            _ended(targets, plain, feed, steps, groups, rows, columns, *still)
            if len(across):
                _passed_on(targets, out, steps, across, places, lane * each, (lane + 1) * each, beside)
