"""The walk of `laconic.calibrate.walk` where the coder's lanes do not divide the rows, so that a row changes its lane.

Then what was chosen earlier in a row lies on the paths of other lanes, and is not known for good for as long as it is
open there: in its place stands what the best path of that lane has now, for all survivors of this one. What is settled
is exact, whatever stood for it: errors are those of the integers. The lanes take their steps in the order in which the
coder takes values.
"""

import numpy as np

from laconic.calibrate.walk import FAR, agreed, branches, settled, survivors
from laconic.compiled import compiled


@compiled
def crossed(  # type: ignore[no-untyped-def]
    targets, plain, feed, steps, heights, costs, classes, rate, trellis, lanes, window, span, low, kept, fresh, out,
):  # fmt: skip
    """Do what `laconic.calibrate.walk.walked` does, for any number of rows.

    Arguments are those of `walked`, but for ``span``, which has, third, the number of columns before all of these, and

        kept: costs, shape (2, L, 2^ν), and errors, shape (2, L, 2^ν, room), one for even steps and one for odd ones;
            the first step of each lane that is open, shape (L,); of each weight the error on the best path, or 0 where
            it is settled or not yet reached, shape (m, n), float32.
    """
    first, last, before = span
    rows, states, mask = len(targets), 1 << trellis[0], kept[1].shape[3] - 1
    reach = min((window * lanes) // rows + 2, len(feed))  # columns that may be open
    priced, missed, following = np.full((states, 2), FAR), np.empty((states, 2), np.float32), np.empty(reach + 1)
    base, starts, tentative = before * rows, kept[2], kept[3]
    for j in range(first, last):
        s, h, row, back = steps[j], heights[j], costs[classes[j]], min(j, reach)
        for d in range(1, back + 1):
            following[d] = feed[j - d, j]
        for r in range(rows):
            place = base + j * rows + r
            lane, t = place % lanes, place // lanes
            old = kept[0][t & 1, lane], kept[1][t & 1, lane]
            new = kept[0][1 - (t & 1), lane], kept[1][1 - (t & 1), lane]
            x = targets[r, j]
            for d in range(1, back + 1):
                x += tentative[r, j - d] * following[d]
            for state in range(states):
                priced[state] = FAR
                if old[0][state] < FAR:
                    branches(x / s, plain[r, j], s, h, row, rate, state, old[0][state], priced, missed)
            survivors(priced, missed, trellis[1], trellis[2], starts[lane], t, old, new)
            best = np.argmin(new[0])
            for then in range(starts[lane], t + 1):
                i = then * lanes + lane - base
                tentative[i % rows, i // rows] = new[1][best, then & mask]
            while starts[lane] <= t and (t - starts[lane] + 1 >= window or agreed(*new, starts[lane] & mask)):
                i = starts[lane] * lanes + lane - base
                k, c = i % rows, i // rows
                out[k, c] = np.rint((plain[k, c] - settled(*new, starts[lane] & mask)) / steps[c])
                error = plain[k, c] - out[k, c] * steps[c]
                fresh[k, c - low], tentative[k, c] = error, 0
                for later in range(c + (place - base - i) // rows + 1, last):
                    targets[k, later] += error * feed[c, later]
                starts[lane] += 1
    if last == len(feed):
        for lane in range(lanes):
            end = -(-(base + last * rows - lane) // lanes)
            cost, errors = kept[0][end & 1, lane], kept[1][end & 1, lane]
            best = np.argmin(cost)
            for then in range(starts[lane], end):
                i = then * lanes + lane - base
                k, c = i % rows, i // rows
                out[k, c] = np.rint((plain[k, c] - errors[best, then & mask]) / steps[c])
