"""The decoder of rANS lanes for machines without a compiler: a step of all lanes is a dozen NumPy calls.

The same bytes and the same symbols as `laconic.format.coding.rans_compiled`. With few lanes a loop over Python's
integers is faster than vectors that short.
"""

import numpy as np

from laconic.format.coding.lanes import GROUP, LOW, SPARE

FEW = 64
"""Lanes up to which symbols are decoded one by one."""

_CHECKED = SPARE // GROUP
"""Steps between two looks at how many words are left: a group takes eight words a step at most."""


def decode(
    words: np.ndarray,
    ends: np.ndarray,
    table: np.ndarray,
    precision: int,
    states: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
) -> None:
    """Decode all symbols; stop where a group has used more words than it has.

    Args:
        words: those of all groups and `SPARE` ones, uint16.
        ends: for each group where its words end, uint64.
        table: what `laconic.format.coding.rans` makes of the frequencies.
        precision: n.
        states: shape (L,), uint64; they become the last states.
        places: for each group the place of its next word, uint64, moved on.
        out: shape (count,), filled.
    """
    steps = len(out) // len(states) if len(states) > FEW else 0
    if _decode_vectors(words, ends, table, precision, states, places, out[: steps * len(states)]):
        _decode_one_by_one(words, ends, table, precision, states, places, out[steps * len(states) :])


def _decode_vectors(
    words: np.ndarray,
    ends: np.ndarray,
    table: np.ndarray,
    precision: int,
    states: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
) -> bool:
    """Decode whole steps; return whether no group used more words than it has."""
    lanes = len(states)
    frequency, bias = (table >> np.uint64(32)).astype(np.uint32), (table >> np.uint64(16) & 0xFFFF).astype(np.uint32)
    n, mask, word = np.uint32(precision), np.uint32((1 << precision) - 1), np.uint32(16)
    x = states.astype(np.uint32).reshape(-1, min(GROUP, lanes))
    at, last = places.astype(np.int64)[:, None], ends.astype(np.int64)[:, None]
    slots = np.empty((len(out) // lanes, *x.shape), np.uint16)
    for step, slot in enumerate(slots):
        if step % _CHECKED == 0 and (at > last).any():
            return False
        np.bitwise_and(x, mask, out=slot, casting="unsafe")
        x = frequency[slot] * (x >> n) + bias[slot]
        empty = x < LOW
        rank = np.cumsum(empty, axis=1)
        x = np.where(empty, x << word | words[at + rank - 1], x)
        at = at + rank[:, -1:]
    out[:] = (table & np.uint64(0xFFFF)).astype(out.dtype)[slots.reshape(-1)]
    states[:], places[:] = x.reshape(-1), at[:, 0]
    return bool((at <= last).all())


def _decode_one_by_one(
    words: np.ndarray,
    ends: np.ndarray,
    table: np.ndarray,
    precision: int,
    states: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
) -> None:
    """Decode symbols of which the first is that of lane 0."""
    source, entries, last = words.tolist(), table.tolist(), ends.tolist()
    x, at, lanes, symbols = states.tolist(), places.tolist(), len(states), []
    mask = (1 << precision) - 1
    for i in range(len(out)):
        lane = i % lanes
        group, state = lane // GROUP, x[lane]
        if at[group] > last[group]:
            break
        entry = entries[state & mask]
        state = (entry >> 32) * (state >> precision) + (entry >> 16 & 0xFFFF)
        if state < LOW:
            state = state << 16 | source[at[group]]
            at[group] += 1
        x[lane] = state
        symbols.append(entry & 0xFFFF)
    out[: len(symbols)] = symbols
    states[:], places[:] = x, at
