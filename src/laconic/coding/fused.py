"""The compiled decoder and encoder of levels: rANS, trellis and dequantization in one loop.

A table's slot says frequency − 1 (bits 0–11), slot − bias (bits 12–23) and symbol (bits 24–31): four bytes, so that the
tables in use stay in the first cache. Lanes of a group are held in registers; groups take turns every `TILE` steps,
so that what they write, symbol by symbol in between each other, is still in cache.

`laconic.coding.vectorised` says the same in NumPy; `tests/reference/` says it in plain Python.
"""

import numpy as np

from laconic.coding.compiled import compiled, inlined

TILE = 32

_LOW = np.uint64(1 << 16)
_SLOTS = np.uint64(4095)
_N = np.uint64(12)
_SYMBOL = np.uint64(24)
_WORD = np.uint64(16)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_FOUR = np.uint64(4)
_DIRECT = np.uint64(16)
_BUCKETS = np.uint64(31)  # symbols below stand for sizes below 16, of either parity
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


@inlined
def _far(x, at, y, odd, words):  # type: ignore[no-untyped-def]
    """Return what `_take` does for a symbol from 31 on: the state, place, u, and whether the level is negative."""
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
    return x, at, (_FOUR + ((m - _DIRECT) & np.uint64(3))) << bits | u, negative


@compiled
def _one(x, at, s, base, table, words, values, xors, scales, out, i):  # type: ignore[no-untyped-def]
    """Decode a weight of any size to ``out[i]``: the new states of rANS and of the trellis, and the next place."""
    odd = s & _ONE
    x, at, y = _take(x, at, base + (odd << _N), table, words)
    z = (y ^ (y >> _ONE)) & _ONE
    if y < _BUCKETS:
        out[i] = values[(odd << np.uint64(8)) + y]
    else:
        x, at, u, negative = _far(x, at, y, odd, words)
        z = (u ^ (odd & negative)) & _ONE
        magnitude = np.float64(u + u + odd if xors[0] else u)
        value = (magnitude + scales[1]) * scales[0]
        out[i] = -value if negative else value
    return x, at, (s >> _ONE) ^ (xors[0] * odd) ^ (xors[1] * z)


@compiled
def _some(first, end, base, table, words, ends, places, states, trellis, values, xors, scales, out):  # type: ignore[no-untyped-def]
    """Decode symbols ``first`` to ``end``, whichever lanes they are of."""
    lanes = len(states)
    for i in range(first, end):
        lane = i % lanes
        group = lane >> 3
        at = places[group]
        if at > ends[group + 1]:
            return
        states[lane], places[group], trellis[lane] = _one(
            states[lane], at, trellis[lane], base, table, words, values, xors, scales, out, i
        )


@inlined
def _static(x, at, base, table, words, values, out, i, seen):  # type: ignore[no-untyped-def]
    """Decode a weight without a trellis to ``out[i]``, if it is of a small size, which ``seen`` tells."""
    x, at, y = _take(x, at, base, table, words)
    out[i] = values[y]
    return x, at, seen | (y + _ONE)


@inlined
def _trellis(x, at, s, base, table, words, values, odd_xor, far_xor, out, i, seen):  # type: ignore[no-untyped-def]
    """Decode a weight in state ``s`` of the trellis to ``out[i]``, if it is of a small size, which ``seen`` tells."""
    odd = s & _ONE
    x, at, y = _take(x, at, base + (odd << _N), table, words)
    out[i] = values[(odd << np.uint64(8)) + y]
    z = (y ^ (y >> _ONE)) & _ONE
    return x, at, (s >> _ONE) ^ (odd_xor * odd) ^ (far_xor * z), seen | (y + _ONE)


@compiled
def _static_steps(first, end, base, table, words, limit, at, x, values, out, lane, lanes):  # type: ignore[no-untyped-def]
    """Decode steps ``first`` to ``end`` of the eight lanes from ``lane`` on, whose states are ``x``.

    Returns:
        The step that is not decoded, for it has a large size or the words have ended, or ``end``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    t = first
    while t < end:
        if at > limit:
            break
        i, start, seen = t * lanes + lane, at, _ZERO
        x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
        a, at, seen = _static(a, at, base, table, words, values, out, i, seen)
        b, at, seen = _static(b, at, base, table, words, values, out, i + 1, seen)
        c, at, seen = _static(c, at, base, table, words, values, out, i + 2, seen)
        d, at, seen = _static(d, at, base, table, words, values, out, i + 3, seen)
        e, at, seen = _static(e, at, base, table, words, values, out, i + 4, seen)
        f, at, seen = _static(f, at, base, table, words, values, out, i + 5, seen)
        g, at, seen = _static(g, at, base, table, words, values, out, i + 6, seen)
        h, at, seen = _static(h, at, base, table, words, values, out, i + 7, seen)
        if seen > _BUCKETS:
            return t, start
        t += 1
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    return t, at


@compiled
def _trellis_steps(first, end, base, table, words, limit, at, x, s, values, xors, out, lane, lanes):  # type: ignore[no-untyped-def]
    """Decode steps ``first`` to ``end`` of the eight lanes from ``lane`` on, of states ``x`` and in the trellis ``s``.

    Returns:
        The step that is not decoded, for it has a large size or the words have ended, or ``end``; the place.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    p, q, r, k, u, v, w, z = s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
    odd, far = xors[0], xors[1]
    t = first
    while t < end:
        if at > limit:
            break
        i, start, seen = t * lanes + lane, at, _ZERO
        x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
        s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = p, q, r, k, u, v, w, z
        a, at, p, seen = _trellis(a, at, p, base, table, words, values, odd, far, out, i, seen)
        b, at, q, seen = _trellis(b, at, q, base, table, words, values, odd, far, out, i + 1, seen)
        c, at, r, seen = _trellis(c, at, r, base, table, words, values, odd, far, out, i + 2, seen)
        d, at, k, seen = _trellis(d, at, k, base, table, words, values, odd, far, out, i + 3, seen)
        e, at, u, seen = _trellis(e, at, u, base, table, words, values, odd, far, out, i + 4, seen)
        f, at, v, seen = _trellis(f, at, v, base, table, words, values, odd, far, out, i + 5, seen)
        g, at, w, seen = _trellis(g, at, w, base, table, words, values, odd, far, out, i + 6, seen)
        h, at, z, seen = _trellis(h, at, z, base, table, words, values, odd, far, out, i + 7, seen)
        if seen > _BUCKETS:
            return t, start
        t += 1
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = p, q, r, k, u, v, w, z
    return t, at


@compiled
def decode(words, ends, places, states, trellis, table, bases, borders, values, xors, scales, out):  # type: ignore[no-untyped-def]
    """Decode all weights to ``out``; where the data are cut short, the places end beyond the ends.

    Args:
        words: uint16, with spare words at the end.
        ends: shape (groups + 1,), uint64.
        places: shape (groups,), uint64: where each group begins; afterwards where it ended.
        states: shape (L,), uint64, of rANS; afterwards the last ones.
        trellis: shape (L,), uint64, zeros.
        table: slots of all tables, uint32.
        bases: for each segment, where its table (of even levels) begins, uint64.
        borders: shape (segments + 1,), int64: the first symbol of each segment, and the number of symbols.
        values: for each symbol of even and then of odd levels what it stands for, of the type of ``out``.
        xors: what an odd state and z = 1 change of the next state, uint64; 0 without a trellis.
        scales: the step and the offset of large levels, in steps, float64.
        out: shape (symbols,).
    """
    lanes = len(states)
    for k in range(len(bases)):
        base, border, end = bases[k], borders[k], borders[k + 1]
        first, last = -(-border // lanes), end // lanes
        if lanes == 1 or first >= last:
            _some(border, end, base, table, words, ends, places, states, trellis, values, xors, scales, out)
            continue
        _some(border, first * lanes, base, table, words, ends, places, states, trellis, values, xors, scales, out)
        for tile in range(first, last, TILE):
            stop = min(tile + TILE, last)
            for group in range(len(places)):
                lane = 8 * group
                x, s, limit = states[lane : lane + 8], trellis[lane : lane + 8], ends[group + 1]
                t = tile
                while t < stop:
                    if xors[0]:
                        t, at = _trellis_steps(
                            t, stop, base, table, words, limit, places[group], x, s, values, xors, out, lane, lanes
                        )
                    else:
                        t, at = _static_steps(
                            t, stop, base, table, words, limit, places[group], x, values, out, lane, lanes
                        )
                    places[group] = at
                    if t < stop:
                        i = t * lanes + lane
                        _some(i, i + 8, base, table, words, ends, places, states, trellis, values, xors, scales, out)
                        t += 1
        _some(last * lanes, end, base, table, words, ends, places, states, trellis, values, xors, scales, out)


@inlined
def _put(x, bits, value, words, at):  # type: ignore[no-untyped-def]
    """Put ``bits`` (at most 16) raw bits on state ``x``."""
    if x >> (np.uint64(32) - bits):
        at -= _ONE
        words[at] = x & np.uint64(0xFFFF)
        x >>= _WORD
    return x << bits | value, at


@compiled
def encode(levels, trellised, borders, tables, coder, capacity, states, words, places):  # type: ignore[no-untyped-def]
    """Encode all levels, from the last to the first.

    Args:
        levels: int64, in the order of the symbols.
        trellised: whether u is half of the magnitude, and the parity a choice of table.
        borders: as of `decode`.
        tables: for each segment the number of its table (of even levels), int64.
        coder: shape (tables, 256, 3), uint64: ⌊2⁴³/f⌋, f and bias of each symbol.
        capacity: words there is room for in each group.
        states: shape (L,), uint64, all 2¹⁶; afterwards the last ones.
        words: uint16, ``capacity`` for each group; each group's are written from the end of its room.
        places: shape (groups,), uint64; afterwards the place of each group's first word.
    """
    lanes = len(states)
    for group in range(len(places)):
        places[group] = (group + 1) * capacity
    for k in range(len(tables) - 1, -1, -1):
        for i in range(borders[k + 1] - 1, borders[k] - 1, -1):
            lane, level = i % lanes, levels[i]
            group = lane >> 3
            x, at = states[lane], places[group]
            u = np.uint64(abs(level))
            odd = np.uint64(level & 1) if trellised else _ZERO
            if trellised:
                u >>= _ONE
            m = u
            if u >= _DIRECT:
                bits = _ZERO
                while u >> bits >= np.uint64(8):
                    bits += _ONE
                m = _DIRECT + _FOUR * (bits - _TWO) + ((u >> bits) & np.uint64(3))
                low = min(bits, _WORD)
                if bits > low:
                    x, at = _put(x, bits - low, (u >> low) & ((_ONE << (bits - low)) - _ONE), words, at)
                x, at = _put(x, low, u & ((_ONE << low) - _ONE), words, at)
            y = m + m + np.uint64(level < 0) if odd else m + m - np.uint64(level > 0)
            row = coder[tables[k] + np.int64(odd), y]
            f = row[1]
            if x >= f << np.uint64(20):
                at -= _ONE
                words[at] = x & np.uint64(0xFFFF)
                x >>= _WORD
            q = (x * row[0]) >> np.uint64(43)
            r = x - q * f
            over = np.uint64(r >= f)
            states[lane] = ((q + over) << _N) + r - over * f + row[2]
            places[group] = at
