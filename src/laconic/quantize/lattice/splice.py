"""Two paths of integers as one: a share of the one, and then the other.

Between two steps that are next to each other the bytes of a small file may leap, for a path leaves the zeros as a
whole or not at all. A share of the finer path lies between, to some weights: from any state ν integers lead to any.
"""

import numpy as np

from laconic.compiled import compiled, inlined


@inlined
def _after(state, level, odd_xor, far_xor):  # type: ignore[no-untyped-def]
    """Return the state after ``level``."""
    return (state >> 1) ^ (odd_xor if state & 1 else 0) ^ (far_xor if level & 2 else 0)


@inlined
def _near(level, subset):  # type: ignore[no-untyped-def]
    """Return the integer of a subset (mod 4) next to ``level``, of two the one towards 0."""
    way = (subset - level) & 3
    return level + way - (4 if way == 3 or (way == 2 and level > 0) else 0)


@compiled
def spliced(fine, coarse, nu, odd_xor, far_xor, lanes, share):  # type: ignore[no-untyped-def]
    """Return a share of ``fine`` in each lane, then what leads to ``coarse`` and is next to it, then that; int32, (n,).

    Args:
        fine: integers, shape (n,), a path of the trellis in each lane.
        coarse: others, of the same lanes.
        nu: ν, or 0 without a trellis.
        odd_xor: what an odd state changes of the next state.
        far_xor: what z = 1 does.
        lanes: how many; one takes every ``lanes``-th integer.
        share: in [0, 1].
    """
    out, n = coarse.copy(), len(fine)
    for lane in range(min(lanes, n)):
        steps = (n - lane - 1) // lanes + 1
        left, of_fine, of_coarse = int(np.rint(share * steps)), 0, 0
        left = left if left + nu <= steps else steps
        for t in range(left):
            i = t * lanes + lane
            out[i] = fine[i]
            of_fine = _after(of_fine, fine[i], odd_xor, far_xor)
            of_coarse = _after(of_coarse, coarse[i], odd_xor, far_xor)
        for choices in range(1 << nu if left < steps else 0):
            state, wanted = of_fine, of_coarse
            for k in range(nu):
                i = (left + k) * lanes + lane
                out[i] = _near(coarse[i], (state & 1) + 2 * (choices >> k & 1))
                state, wanted = _after(state, out[i], odd_xor, far_xor), _after(wanted, coarse[i], odd_xor, far_xor)
            if state == wanted:
                break
    return out
