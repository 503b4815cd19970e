"""The compiled encoder of levels: rANS from the last symbol to the first, for `laconic.coding.fused` to read."""

import numpy as np

from laconic.coding.compiled import compiled, inlined
from laconic.coding.pairs import NEAR, SIDE

_N = np.uint64(12)
_WORD = np.uint64(16)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_THREE = np.uint64(3)
_FOUR = np.uint64(4)
_EIGHT = np.uint64(8)
_DIRECT = np.uint64(16)
_ZERO = np.uint64(0)


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
    odd = _ZERO
    if trellised:
        odd = u & _ONE
        u >>= _ONE
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


@compiled
def encode(levels, trellised, plan, counts, coder, capacity, states, words, places):  # type: ignore[no-untyped-def]
    """Encode all levels, from the last to the first.

    Args:
        levels: int64, in the order of the segments.
        trellised: whether u is half of the magnitude, and the parity a choice of table.
        plan: as of `decode`, but with the numbers of tables for their places.
        counts: levels of each segment, int64.
        coder: shape (tables, 256, 3), uint64: ⌊2⁴³/f⌋, f and bias of each symbol.
        capacity: words there is room for in each group.
        states: shape (L,), uint64, all 2¹⁶; afterwards the last ones.
        words: uint16, one to spare and ``capacity`` for each group, whose words are written from the end of its room.
        places: shape (groups,), uint64; afterwards the place of each group's first word.
    """
    for group in range(len(places)):
        places[group] = (group + 1) * capacity + 1
    lane = (plan[-1, 0] - 1) % len(states)
    for k in range(len(counts) - 1, -1, -1):
        first, table, single = plan[k, 1], plan[k, 2], plan[k, 3]
        for unit in range(plan[k + 1, 0] - 1, plan[k, 0] - 1, -1):
            group = lane >> 3
            x, at, i = states[lane], places[group], first + unit - plan[k, 0]
            if table == single:
                x, at = _level(x, at, levels[i], coder, table, trellised, words)
            else:
                i += unit - plan[k, 0]
                a, b = levels[i], (levels[i + 1] if i + 1 < first + counts[k] else 0)
                if abs(a) <= NEAR and abs(b) <= NEAR:
                    y = SIDE * (2 * abs(a) - (a > 0)) + 2 * abs(b) - (b > 0)
                else:
                    x, at = _level(x, at, b, coder, single, trellised, words)
                    x, at = _level(x, at, a, coder, single, trellised, words)
                    y = 255
                x, at = _push(x, at, coder[table, y], words)
            states[lane], places[group] = x, at
            lane -= 1
            if lane < 0:
                lane = len(states) - 1
