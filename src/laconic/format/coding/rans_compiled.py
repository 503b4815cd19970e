"""The compiled coder of rANS lanes: the eight states of a group in registers, a tile of steps at a time.

A step is one symbol of every lane. Group by group within a tile, so that the symbols of a tile stay in cache although
those of a group lie L apart.
"""

import numpy as np

from laconic.compiled import compiled

TILE = 32
"""Steps that a group goes through before the next one has its turn."""

_LOW = np.uint64(1 << 16)
_WORD = np.uint64(16)
_WORD_MASK = np.uint64(0xFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)


@compiled
def encode(symbols, table, n, states, words, places):  # type: ignore[no-untyped-def]
    """Encode all symbols from the last to the first.

    Args:
        symbols: shape (count,), uint8 or uint16.
        table: what `laconic.format.coding.rans` makes of the frequencies.
        n: precision, uint64.
        states: shape (L,), uint64, each 2¹⁶; they become the states that a decoder begins with.
        words: room for those of every group.
        places: for each group the end of its room, uint64; it becomes the place of its first word.
    """
    lanes = len(states)
    steps = len(symbols) // lanes if lanes >= 8 else 0
    _encode_steps(symbols, steps * lanes, table, n, states, words, places)
    for end in range(steps, 0, -TILE):
        first = max(end - TILE, 0)
        for group in range(lanes // 8):
            _encode_tile(symbols, first, end, group, table, n, states, words, places)


@compiled
def decode(words, ends, table, precision, states, places, out):  # type: ignore[no-untyped-def]
    """Decode all symbols; stop where a group has used more words than it has.

    Args:
        words: those of all groups and spare ones.
        ends: for each group where its words end, uint64.
        table: what `laconic.format.coding.rans` makes of the frequencies.
        precision: n.
        states: shape (L,), uint64; they become the last states.
        places: for each group the place of its next word, uint64, moved on.
        out: shape (count,), filled.
    """
    lanes, n = len(states), np.uint64(precision)
    steps = len(out) // lanes if lanes >= 8 else 0
    for first in range(0, steps, TILE):
        end = min(first + TILE, steps)
        for group in range(lanes // 8):
            if not _decode_tile(words, ends, table, n, states, places, out, first, end, group):
                return
    _decode_steps(words, ends, table, n, states, places, out, steps * lanes)


@compiled
def fill(frequencies, table):  # type: ignore[no-untyped-def]
    """Fill the decoder's table, an entry a slot, from frequencies that sum to its length."""
    slot = 0
    for symbol in range(len(frequencies)):
        for k in range(frequencies[symbol]):
            table[slot] = np.uint64(frequencies[symbol] << 32 | k << 16 | symbol)
            slot += 1


@compiled
def _push(x, symbol, table, n, words, at):  # type: ignore[no-untyped-def]
    """Put ``symbol`` on state ``x``: return the new state and place of the first word.

    q is ⌊x/f⌋ or one less: x < f 2³²⁻ⁿ, so the reciprocal's rounding costs less than 1.
    """
    words[at - _ONE] = x & _WORD_MASK
    full = np.uint64(x >= table[symbol, 0])
    at -= full
    x >>= full * _WORD
    f = table[symbol, 2]
    q = (x * table[symbol, 1]) >> (np.uint64(31) + n)
    r = x - q * f
    over = np.uint64(r >= f)
    return ((q + over) << n) + r - over * f + table[symbol, 3], at


@compiled
def _pop(x, table, n, mask, words, at):  # type: ignore[no-untyped-def]
    """Take a symbol off state ``x``: return the new state, the symbol and the place of the next word."""
    entry = table[x & mask]
    x = (entry >> _HALF) * (x >> n) + ((entry >> _WORD) & _WORD_MASK)
    empty = x < _LOW
    refilled = x << _WORD | np.uint64(words[at])
    return (refilled if empty else x), entry & _WORD_MASK, at + np.uint64(empty)


@compiled
def _encode_steps(symbols, begin, table, n, states, words, places):  # type: ignore[no-untyped-def]
    """Encode the symbols down to ``begin``, the first of a step, any number of lanes."""
    lanes = len(states)
    for i in range(len(symbols) - 1, begin - 1, -1):
        lane = (i - begin) % lanes
        states[lane], places[lane // 8] = _push(states[lane], symbols[i], table, n, words, places[lane // 8])


@compiled
def _encode_tile(symbols, first, end, group, table, n, states, words, places):  # type: ignore[no-untyped-def]
    """Encode steps ``end`` - 1 down to ``first`` of a group."""
    at, own, lanes = places[group], states[8 * group : 8 * group + 8], len(states)
    a, b, c, d, e, f, g, h = own[0], own[1], own[2], own[3], own[4], own[5], own[6], own[7]
    for step in range(end - 1, first - 1, -1):
        i = np.uint64(step * lanes + 8 * group)
        h, at = _push(h, symbols[i + np.uint64(7)], table, n, words, at)
        g, at = _push(g, symbols[i + np.uint64(6)], table, n, words, at)
        f, at = _push(f, symbols[i + np.uint64(5)], table, n, words, at)
        e, at = _push(e, symbols[i + np.uint64(4)], table, n, words, at)
        d, at = _push(d, symbols[i + np.uint64(3)], table, n, words, at)
        c, at = _push(c, symbols[i + np.uint64(2)], table, n, words, at)
        b, at = _push(b, symbols[i + _ONE], table, n, words, at)
        a, at = _push(a, symbols[i], table, n, words, at)
    own[0], own[1], own[2], own[3], own[4], own[5], own[6], own[7] = a, b, c, d, e, f, g, h
    places[group] = at


@compiled
def _decode_steps(words, ends, table, n, states, places, out, begin):  # type: ignore[no-untyped-def]
    """Decode the symbols from ``begin`` on, the first of a step, any number of lanes."""
    mask, lanes = (_ONE << n) - _ONE, len(states)
    for first in range(begin, len(out), lanes):
        for lane in range(min(lanes, len(out) - first)):
            at = places[lane // 8]
            if at > ends[lane // 8]:
                return
            states[lane], out[first + lane], places[lane // 8] = _pop(states[lane], table, n, mask, words, at)


@compiled
def _decode_tile(words, ends, table, n, states, places, out, first, stop, group):  # type: ignore[no-untyped-def]
    """Decode the steps from ``first`` to ``stop`` of a group; return whether its words last so long."""
    mask, lanes, end = (_ONE << n) - _ONE, len(states), ends[group]
    at, own = places[group], states[8 * group : 8 * group + 8]
    a, b, c, d, e, f, g, h = own[0], own[1], own[2], own[3], own[4], own[5], own[6], own[7]
    for step in range(first, stop):
        if at > end:
            break
        i = np.uint64(step * lanes + 8 * group)
        a, out[i], at = _pop(a, table, n, mask, words, at)
        b, out[i + _ONE], at = _pop(b, table, n, mask, words, at)
        c, out[i + np.uint64(2)], at = _pop(c, table, n, mask, words, at)
        d, out[i + np.uint64(3)], at = _pop(d, table, n, mask, words, at)
        e, out[i + np.uint64(4)], at = _pop(e, table, n, mask, words, at)
        f, out[i + np.uint64(5)], at = _pop(f, table, n, mask, words, at)
        g, out[i + np.uint64(6)], at = _pop(g, table, n, mask, words, at)
        h, out[i + np.uint64(7)], at = _pop(h, table, n, mask, words, at)
    own[0], own[1], own[2], own[3], own[4], own[5], own[6], own[7] = a, b, c, d, e, f, g, h
    places[group] = at
    return at <= end
