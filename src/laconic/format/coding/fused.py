"""The compiled decoder of levels: rANS, trellis and dequantization in one loop.

A table's slot says frequency − 1 (bits 0–11), slot − bias (bits 12–23) and symbol (bits 24–31): four bytes, so that the
tables in use stay in the first cache. Lanes of a group are held in registers; groups take turns every `TILE` steps,
so that what they write, unit by unit in between each other, is still in cache. A step with a symbol that is not
straightforward, for raw bits follow it, is done again by the general way.

`laconic.format.coding.vectorised` says the same in NumPy; `tests/reference/` says it in plain Python.
"""

import numpy as np

from laconic.compiled import compiled, inlined
from laconic.format.coding.model import TOTAL

TILE = 32

_LOW = np.uint64(1 << 16)
_SLOTS = np.uint64(4095)
_N = np.uint64(12)
_SYMBOL = np.uint64(24)
_WORD = np.uint64(16)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_THREE = np.uint64(3)
_FOUR = np.uint64(4)
_EIGHT = np.uint64(8)
_DIRECT = np.uint64(16)
_BUCKETS = np.uint64(31)  # symbols below stand for sizes below 16, of either parity
_ESCAPE = np.uint64(255)  # the symbol of a pair that is told one by one
_ZERO = np.uint64(0)


@inlined
def _take(x, at, base, table, words):  # type: ignore[no-untyped-def]
    """Take a symbol off state ``x`` by the table at ``base``: the new state, the place of the next word, the symbol."""
    entry = np.uint64(table[base + (x & _SLOTS)])
    x = ((entry & _SLOTS) + _ONE) * (x >> _N) + ((entry >> _N) & _SLOTS)
    empty = x < _LOW
    refilled = x << _WORD | np.uint64(words[at])
    return (refilled if empty else x), at + np.uint64(empty), entry >> _SYMBOL


@inlined
def _raw(x, at, bits, words):  # type: ignore[no-untyped-def]
    """Take ``bits`` (at most 16) raw bits off state ``x``."""
    value = x & ((_ONE << bits) - _ONE)
    x >>= bits
    if x < _LOW:
        x = x << _WORD | np.uint64(words[at])
        at += _ONE
    return x, at, value


@compiled
def _far(x, at, y, odd, words):  # type: ignore[no-untyped-def]
    """Return state, place, u, and whether the level is negative, after a symbol of any size."""
    m = (y + _ONE - odd) >> _ONE
    negative = (y & _ONE) ^ (_ONE - odd)
    if m < _DIRECT:
        return x, at, m, negative
    bits = ((m - _DIRECT) >> _TWO) + _TWO
    low = min(bits, _WORD)
    x, at, u = _raw(x, at, low, words)
    if bits > low:
        x, at, high = _raw(x, at, bits - low, words)
        u |= high << low
    return x, at, (_FOUR + ((m - _DIRECT) & _THREE)) << bits | u, negative


@compiled
def _one(x, at, s, base, table, words, values, xors, scales, out, i):  # type: ignore[no-untyped-def]
    """Decode a weight of any size to ``out[i]``: the new states of rANS and of the trellis, and the next place."""
    odd = s & _ONE
    x, at, y = _take(x, at, base + (odd << _N), table, words)
    z = (y ^ (y >> _ONE)) & _ONE
    if y < _BUCKETS:
        out[i] = values[(odd << _EIGHT) + y]
    else:
        x, at, u, negative = _far(x, at, y, odd, words)
        z = (u ^ (odd & negative)) & _ONE
        magnitude = np.float64(u + u + odd if xors[0] else u)
        value = (magnitude + scales[1]) * scales[0]
        out[i] = -value if negative else value
    return x, at, (s >> _ONE) ^ (xors[0] * odd) ^ (xors[1] * z)


@compiled
def _two(x, at, base, single, table, words, values, couples, xors, scales, out, i):  # type: ignore[no-untyped-def]
    """Decode a pair of weights of any size to ``out[i]`` and ``out[i + 1]``: the new state, and the next place."""
    x, at, y = _take(x, at, base, table, words)
    if y < _ESCAPE:
        out[i], out[i + 1] = couples[2 * y], couples[2 * y + _ONE]
    else:
        x, at, _ = _one(x, at, _ZERO, single, table, words, values, xors, scales, out, i)
        x, at, _ = _one(x, at, _ZERO, single, table, words, values, xors, scales, out, i + 1)
    return x, at


@compiled
def _some(first, end, k, plan, table, words, ends, places, states, trellis, values, couples, xors, scales, out):  # type: ignore[no-untyped-def]
    """Decode units ``first`` to ``end`` of segment ``k``, whichever lanes they are of."""
    base, single = np.uint64(plan[k, 2]), np.uint64(plan[k, 3])
    lanes = len(states)
    lane = first % lanes
    for unit in range(first, end):
        group = lane >> 3
        at = places[group]
        if at > ends[group + 1]:
            return
        if single != base:
            i = plan[k, 1] + 2 * (unit - plan[k, 0])
            states[lane], places[group] = _two(
                states[lane], at, base, single, table, words, values, couples, xors, scales, out, i
            )
        else:
            i = plan[k, 1] + unit - plan[k, 0]
            states[lane], places[group], trellis[lane] = _one(
                states[lane], at, trellis[lane], base, table, words, values, xors, scales, out, i
            )
        lane += 1
        if lane == lanes:
            lane = 0


@inlined
def _static(x, at, base, table, words, values, out, i, seen):  # type: ignore[no-untyped-def]
    """Decode a weight without a trellis to ``out[i]``, if it is of a small size, which ``seen`` tells."""
    x, at, y = _take(x, at, base, table, words)
    out[i] = values[y]
    return x, at, seen | (y + _ONE)


@inlined
def _couple(x, at, base, table, words, couples, out, i, seen):  # type: ignore[no-untyped-def]
    """Decode a pair to ``out[i]`` and ``out[i + 1]``, if it is no escape, which ``seen`` tells."""
    x, at, y = _take(x, at, base, table, words)
    out[i] = couples[y << _ONE]
    out[i + _ONE] = couples[(y << _ONE) + _ONE]
    return x, at, seen | (y + _ONE)


@inlined
def _trellis(x, at, s, base, table, words, values, odd_xor, far_xor, out, i, seen):  # type: ignore[no-untyped-def]
    """Decode a weight in state ``s`` of the trellis to ``out[i]``, if it is of a small size, which ``seen`` tells."""
    odd = s & _ONE
    x, at, y = _take(x, at, base + (odd << _N), table, words)
    out[i] = values[(odd << _EIGHT) + y]
    z = (y ^ (y >> _ONE)) & _ONE
    return x, at, (s >> _ONE) ^ (odd_xor * odd) ^ (far_xor * z), seen | (y + _ONE)


@inlined
def _static_steps(first, end, base, table, words, limit, at, x, values, out, i, stride, watch):  # type: ignore[no-untyped-def]
    """Decode steps ``first`` to ``end`` of eight lanes of states ``x``, the first to ``out[i]``.

    Without ``watch``, a literal, the table has none but small sizes.

    Returns:
        The step that is not decoded, for it has another symbol or the words have ended, or ``end``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    t, i, stride = first, np.uint64(i), np.uint64(stride)
    start, seen = at, _ZERO
    while (t < end) & (at <= limit) & (not watch or seen <= _BUCKETS):  # one condition: see `_pair_steps`
        if watch:
            start = at
            x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
        a, at, seen = _static(a, at, base, table, words, values, out, i, seen)
        b, at, seen = _static(b, at, base, table, words, values, out, i + np.uint64(1), seen)
        c, at, seen = _static(c, at, base, table, words, values, out, i + np.uint64(2), seen)
        d, at, seen = _static(d, at, base, table, words, values, out, i + np.uint64(3), seen)
        e, at, seen = _static(e, at, base, table, words, values, out, i + np.uint64(4), seen)
        f, at, seen = _static(f, at, base, table, words, values, out, i + np.uint64(5), seen)
        g, at, seen = _static(g, at, base, table, words, values, out, i + np.uint64(6), seen)
        h, at, seen = _static(h, at, base, table, words, values, out, i + np.uint64(7), seen)
        t += 1
        i += stride
    if watch and seen > _BUCKETS:
        return t - 1, start
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    return t, at


@compiled
def _pair_steps(first, end, base, table, words, limit, at, x, couples, out, i, stride):  # type: ignore[no-untyped-def]
    """Decode steps ``first`` to ``end`` of eight lanes of states ``x``, the first to ``out[i]``.

    Returns:
        The step that is not decoded, for it has another symbol or the words have ended, or ``end``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    t, i, stride = first, np.uint64(i), np.uint64(stride)
    start, seen = at, _ZERO
    while (t < end) & (at <= limit) & (seen <= _ESCAPE):  # one condition, lest some of the step be done behind it
        start = at
        x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
        a, at, seen = _couple(a, at, base, table, words, couples, out, i, seen)
        b, at, seen = _couple(b, at, base, table, words, couples, out, i + np.uint64(2), seen)
        c, at, seen = _couple(c, at, base, table, words, couples, out, i + np.uint64(4), seen)
        d, at, seen = _couple(d, at, base, table, words, couples, out, i + np.uint64(6), seen)
        e, at, seen = _couple(e, at, base, table, words, couples, out, i + np.uint64(8), seen)
        f, at, seen = _couple(f, at, base, table, words, couples, out, i + np.uint64(10), seen)
        g, at, seen = _couple(g, at, base, table, words, couples, out, i + np.uint64(12), seen)
        h, at, seen = _couple(h, at, base, table, words, couples, out, i + np.uint64(14), seen)
        t += 1
        i += stride
    if seen > _ESCAPE:
        return t - 1, start
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    return t, at


@inlined
def _trellis_steps(first, end, base, table, words, limit, at, x, s, values, xors, out, i, stride, watch):  # type: ignore[no-untyped-def]
    """Decode steps ``first`` to ``end`` of eight lanes, states ``x`` and trellis ``s``, the first to ``out[i]``.

    Returns:
        The step that is not decoded, for it has another symbol or the words have ended, or ``end``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    p, q, r, k, u, v, w, z = s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
    odd, far = xors[0], xors[1]
    t, i, stride = first, np.uint64(i), np.uint64(stride)
    start, seen = at, _ZERO
    while (t < end) & (at <= limit) & (not watch or seen <= _BUCKETS):  # one condition: see `_pair_steps`
        if watch:
            start = at
            x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
            s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = p, q, r, k, u, v, w, z
        a, at, p, seen = _trellis(a, at, p, base, table, words, values, odd, far, out, i, seen)
        b, at, q, seen = _trellis(b, at, q, base, table, words, values, odd, far, out, i + np.uint64(1), seen)
        c, at, r, seen = _trellis(c, at, r, base, table, words, values, odd, far, out, i + np.uint64(2), seen)
        d, at, k, seen = _trellis(d, at, k, base, table, words, values, odd, far, out, i + np.uint64(3), seen)
        e, at, u, seen = _trellis(e, at, u, base, table, words, values, odd, far, out, i + np.uint64(4), seen)
        f, at, v, seen = _trellis(f, at, v, base, table, words, values, odd, far, out, i + np.uint64(5), seen)
        g, at, w, seen = _trellis(g, at, w, base, table, words, values, odd, far, out, i + np.uint64(6), seen)
        h, at, z, seen = _trellis(h, at, z, base, table, words, values, odd, far, out, i + np.uint64(7), seen)
        t += 1
        i += stride
    if watch and seen > _BUCKETS:
        return t - 1, start
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = p, q, r, k, u, v, w, z
    return t, at


@compiled
def _segment(  # type: ignore[no-untyped-def]
    k, words, ends, places, states, trellis, table, plan, values, couples, xors, scales, out, single, paired, trellised
):  # fmt: skip
    """Decode segment ``k``: what fills no step by the general way, the rest group by group, `TILE` steps at a time.

    Each kind of step has its call, for a literal chooses what is compiled; arguments are those of `decode`.
    """
    lanes = len(states)
    border, end, base, pairs = plan[k, 0], plan[k + 1, 0], np.uint64(plan[k, 2]), plan[k, 2] != plan[k, 3]
    first, last = -(-border // lanes), end // lanes
    if lanes == 1 or first >= last:
        _some(border, end, k, plan, table, words, ends, places, states, trellis, values, couples, xors, scales, out)
        return
    _some(
        border, first * lanes, k, plan, table, words, ends, places, states, trellis, values, couples, xors, scales,
        out,
    )  # fmt: skip
    watch = (table[plan[k, 2] : plan[k, 2] + (TOTAL << np.int64(xors[0] > 0))] >> _SYMBOL).max() >= _BUCKETS
    for tile in range(first, last, TILE):
        stop = min(tile + TILE, last)
        for group in range(len(places)):
            lane = 8 * group
            x, s, limit = states[lane : lane + 8], trellis[lane : lane + 8], ends[group + 1]
            t = tile
            while t < stop:
                at, unit = places[group], t * lanes + lane
                i = plan[k, 1] + unit - border
                if trellised is not None:
                    if watch:
                        t, at = _trellis_steps(
                            t, stop, base, table, words, limit, at, x, s, values, xors, out, i, lanes, True
                        )
                    else:
                        t, at = _trellis_steps(
                            t, stop, base, table, words, limit, at, x, s, values, xors, out, i, lanes, False
                        )
                elif paired is not None and pairs:
                    i += unit - border
                    t, at = _pair_steps(t, stop, base, table, words, limit, at, x, couples, out, i, 2 * lanes)
                elif single is not None:
                    if watch:
                        t, at = _static_steps(t, stop, base, table, words, limit, at, x, values, out, i, lanes, True)
                    else:
                        t, at = _static_steps(t, stop, base, table, words, limit, at, x, values, out, i, lanes, False)
                places[group] = at
                if t < stop:
                    unit = t * lanes + lane
                    _some(
                        unit, unit + 8, k, plan, table, words, ends, places, states, trellis, values, couples, xors,
                        scales, out,
                    )  # fmt: skip
                    t += 1
    _some(last * lanes, end, k, plan, table, words, ends, places, states, trellis, values, couples, xors, scales, out)


@compiled
def decode(  # type: ignore[no-untyped-def]
    words, ends, places, states, trellis, table, plan, values, couples, xors, scales, out, single, paired, trellised
):  # fmt: skip
    """Decode all weights to ``out``; where the data are cut short, the places end beyond the ends.

    A unit is a weight, or a pair of weights. Segment k has the units from plan[k, 0] to plan[k + 1, 0].

    Args:
        words: uint16, with spare words at the end.
        ends: shape (groups + 1,), uint64.
        places: shape (groups,), uint64: where each group begins; afterwards where it ended.
        states: shape (L,), uint64, of rANS; afterwards the last ones.
        trellis: shape (L,), uint64, zeros.
        table: slots of all tables, uint32.
        plan: shape (segments + 1, 4), int64: for each segment its first unit, its first weight, where the table of its
            units begins (that of even levels, with a trellis), and where that of single levels does; the same of both
            where units are weights. The last row has the number of units, and nothing else.
        values: for each symbol of even and then of odd levels what it stands for, of the type of ``out``.
        couples: for each symbol of a pair the two weights that it stands for.
        xors: what an odd state and z = 1 change of the next state, uint64; 0 without a trellis.
        scales: the step and the offset of large levels, in steps, float64.
        out: shape (weights + 1,): the last pair of a segment may be half beyond it, and is then overwritten.
        single: None where there are no units of one weight without a trellis, else anything: what there is is compiled.
        paired: None where there are no pairs.
        trellised: None where there is no trellis.
    """
    for k in range(len(plan) - 1):
        _segment(
            k, words, ends, places, states, trellis, table, plan, values, couples, xors, scales, out, single, paired,
            trellised,
        )  # fmt: skip
