"""The compiled encoder of levels: rANS from the last symbol to the first, for `laconic.format.coding.fused` to read."""

import numpy as np

from laconic.compiled import compiled, inlined
from laconic.format.coding.pairs import ESCAPE, NEAR, SIDE

_N = np.uint64(12)
_WORD = np.uint64(16)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_THREE = np.uint64(3)
_FOUR = np.uint64(4)
_EIGHT = np.uint64(8)
_DIRECT = np.uint64(16)
_ZERO = np.uint64(0)
_SMALL = np.uint64(15)  # sizes up to this are magnitudes
_NEAR = np.uint64(NEAR)
_SYMBOLS = np.uint64(255)

TILE = 32


@inlined
def _put(x, at, bits, value, words):  # type: ignore[no-untyped-def]
    """Put ``bits`` (at most 16) raw bits on state ``x``."""
    if x >> (np.uint64(32) - bits):
        at -= _ONE
        words[at] = x & np.uint64(0xFFFF)
        x >>= _WORD
    return x << bits | value, at


@inlined
def _push(x, at, row, words):  # type: ignore[no-untyped-def]
    """Put a symbol on state ``x``; ``row`` has ⌊2⁴³/f⌋, f and bias. q is ⌊x/f⌋ or one less, for x < 2²⁰ f."""
    f = row[1]
    full = np.uint64(x >= f << np.uint64(20))
    words[at - _ONE] = x & np.uint64(0xFFFF)
    at -= full
    x >>= full * _WORD
    q = (x * row[0]) >> np.uint64(43)
    r = x - q * f
    over = np.uint64(r >= f)
    return ((q + over) << _N) + r - over * f + row[2], at


@compiled
def _level(x, at, level, coder, table, trellised, words):  # type: ignore[no-untyped-def]
    """Put a level on state ``x``, first what is read last: its raw bits."""
    u = np.uint64(abs(level))
    odd = u & trellised
    u >>= trellised
    m = u
    if u >= _DIRECT:
        bits = _TWO
        while u >> bits >= _EIGHT:
            bits += _ONE
        m = _DIRECT + _FOUR * (bits - _TWO) + ((u >> bits) & _THREE)
        low = min(bits, _WORD)
        if bits > low:
            x, at = _put(x, at, bits - low, (u >> low) & ((_ONE << (bits - low)) - _ONE), words)
        x, at = _put(x, at, low, u & ((_ONE << low) - _ONE), words)
    y = m + m + np.uint64(level < 0) if odd else m + m - np.uint64(level > 0)
    return _push(x, at, coder[np.uint64(table) + odd, y], words)


@inlined
def _quick(x, at, level, coder, table, trellised, words, seen):  # type: ignore[no-untyped-def]
    """Put a level on state ``x``, if it is of a small size, which ``seen`` tells."""
    u = np.uint64(abs(level))
    odd = u & trellised
    u >>= trellised
    y = u + u + (np.uint64(level < 0) if odd else -np.uint64(level > 0))
    x, at = _push(x, at, coder[table + odd, y & _SYMBOLS], words)
    return x, at, seen | u


@inlined
def _quick_pair(x, at, a, b, coder, table, words, seen):  # type: ignore[no-untyped-def]
    """Put two levels on state ``x``, if both are of a pair, which ``seen`` tells."""
    y = SIDE * (2 * abs(a) - (a > 0)) + 2 * abs(b) - (b > 0)
    x, at = _push(x, at, coder[table, np.uint64(y) & _SYMBOLS], words)
    return x, at, seen | (np.uint64(abs(a)) | np.uint64(abs(b)))


@compiled
def _level_steps(first, end, at, x, levels, i, stride, coder, table, trellised, words):  # type: ignore[no-untyped-def]
    """Encode steps ``end`` - 1 down to ``first`` of eight lanes of states ``x``; the last step is at ``levels[i]``.

    Returns:
        One more than the step that is not encoded, for it has another symbol, or ``first``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    t, i, stride = end, np.uint64(i), np.uint64(stride)
    start, seen = at, _ZERO
    while (t > first) & (seen <= _SMALL):  # one condition: what is before it is not put off to behind it
        start = at
        x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
        h, at, seen = _quick(h, at, levels[i + np.uint64(7)], coder, table, trellised, words, seen)
        g, at, seen = _quick(g, at, levels[i + np.uint64(6)], coder, table, trellised, words, seen)
        f, at, seen = _quick(f, at, levels[i + np.uint64(5)], coder, table, trellised, words, seen)
        e, at, seen = _quick(e, at, levels[i + np.uint64(4)], coder, table, trellised, words, seen)
        d, at, seen = _quick(d, at, levels[i + np.uint64(3)], coder, table, trellised, words, seen)
        c, at, seen = _quick(c, at, levels[i + np.uint64(2)], coder, table, trellised, words, seen)
        b, at, seen = _quick(b, at, levels[i + np.uint64(1)], coder, table, trellised, words, seen)
        a, at, seen = _quick(a, at, levels[i], coder, table, trellised, words, seen)
        t -= 1
        i -= stride
    if seen > _SMALL:
        return t + 1, start
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    return t, at


@compiled
def _pair_steps(first, end, at, x, levels, i, stride, coder, table, words):  # type: ignore[no-untyped-def]
    """Encode steps ``end`` - 1 down to ``first`` of eight lanes of states ``x``; the last step is at ``levels[i]``.

    Returns:
        One more than the step that is not encoded, for it has another symbol, or ``first``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    t, i, stride = end, np.uint64(i), np.uint64(stride)
    start, seen = at, _ZERO
    while (t > first) & (seen <= _NEAR):  # one condition: what is before it is not put off to behind it
        start = at
        x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
        h, at, seen = _quick_pair(
            h, at, levels[i + np.uint64(14)], levels[i + np.uint64(15)], coder, table, words, seen
        )
        g, at, seen = _quick_pair(
            g, at, levels[i + np.uint64(12)], levels[i + np.uint64(13)], coder, table, words, seen
        )
        f, at, seen = _quick_pair(
            f, at, levels[i + np.uint64(10)], levels[i + np.uint64(11)], coder, table, words, seen
        )
        e, at, seen = _quick_pair(e, at, levels[i + np.uint64(8)], levels[i + np.uint64(9)], coder, table, words, seen)
        d, at, seen = _quick_pair(d, at, levels[i + np.uint64(6)], levels[i + np.uint64(7)], coder, table, words, seen)
        c, at, seen = _quick_pair(c, at, levels[i + np.uint64(4)], levels[i + np.uint64(5)], coder, table, words, seen)
        b, at, seen = _quick_pair(b, at, levels[i + np.uint64(2)], levels[i + np.uint64(3)], coder, table, words, seen)
        a, at, seen = _quick_pair(a, at, levels[i], levels[i + np.uint64(1)], coder, table, words, seen)
        t -= 1
        i -= stride
    if seen > _NEAR:
        return t + 1, start
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    return t, at


@compiled
def _some(first, end, k, plan, counts, levels, trellised, coder, states, words, places):  # type: ignore[no-untyped-def]
    """Encode units ``end`` - 1 down to ``first`` of segment ``k``, whichever lanes they are of."""
    weight, table, single = plan[k, 1], plan[k, 2], plan[k, 3]
    lane = (end - 1) % len(states)
    for unit in range(end - 1, first - 1, -1):
        group = lane >> 3
        x, at, i = states[lane], places[group], weight + unit - plan[k, 0]
        if table == single:
            x, at = _level(x, at, levels[i], coder, table, trellised, words)
        else:
            i += unit - plan[k, 0]
            a, b = levels[i], (levels[i + 1] if i + 1 < weight + counts[k] else 0)
            if abs(a) <= NEAR and abs(b) <= NEAR:
                y = SIDE * (2 * abs(a) - (a > 0)) + 2 * abs(b) - (b > 0)
            else:
                x, at = _level(x, at, b, coder, single, trellised, words)
                x, at = _level(x, at, a, coder, single, trellised, words)
                y = ESCAPE
            x, at = _push(x, at, coder[table, y], words)
        states[lane], places[group] = x, at
        lane -= 1
        if lane < 0:
            lane = len(states) - 1


@compiled
def encode(levels, trellised, plan, counts, coder, capacity, states, words, places):  # type: ignore[no-untyped-def]
    """Encode all levels, from the last to the first.

    Args:
        levels: int32 or int64, in the order of the segments.
        trellised: 1 where u is half of the magnitude, and the parity a choice of table; else 0.
        plan: as of `laconic.format.coding.fused.decode`, but with the numbers of tables for their places.
        counts: levels of each segment, int64.
        coder: shape (tables, 256, 3), uint64: ⌊2⁴³/f⌋, f and bias of each symbol.
        capacity: words there is room for in each group.
        states: shape (L,), uint64, all 2¹⁶; afterwards the last ones.
        words: uint16, one to spare and ``capacity`` for each group, whose words are written from the end of its room.
        places: shape (groups,), uint64; afterwards the place of each group's first word.
    """
    lanes = len(states)
    for group in range(len(places)):
        places[group] = (group + 1) * capacity + 1
    for k in range(len(counts) - 1, -1, -1):
        border, end, table, pairs = plan[k, 0], plan[k + 1, 0], np.uint64(plan[k, 2]), plan[k, 2] != plan[k, 3]
        whole = (border + counts[k] // 2 if pairs else end) // lanes  # steps of which every pair is whole
        first = -(-border // lanes)
        if lanes == 1 or first >= whole:
            _some(border, end, k, plan, counts, levels, trellised, coder, states, words, places)
            continue
        _some(whole * lanes, end, k, plan, counts, levels, trellised, coder, states, words, places)
        for tile in range(whole, first, -TILE):
            start = max(tile - TILE, first)
            for group in range(len(places)):
                x = states[8 * group : 8 * group + 8]
                t = tile
                while t > start:
                    at, unit = places[group], (t - 1) * lanes + 8 * group
                    i = plan[k, 1] + unit - border
                    if pairs:
                        i += unit - border
                        t, at = _pair_steps(start, t, at, x, levels, i, 2 * lanes, coder, table, words)
                    else:
                        t, at = _level_steps(start, t, at, x, levels, i, lanes, coder, table, trellised, words)
                    places[group] = at
                    if t > start:
                        unit = (t - 1) * lanes + 8 * group
                        _some(unit, unit + 8, k, plan, counts, levels, trellised, coder, states, words, places)
                        t -= 1
        _some(border, first * lanes, k, plan, counts, levels, trellised, coder, states, words, places)
