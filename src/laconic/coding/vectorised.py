"""The decoder of levels without a compiler: all lanes at once, a step at a time.

It says in NumPy what `laconic.coding.fused` says to Numba, to the same bits. A step in which a symbol has raw bits
is taken lane by lane, for there the words depend on one another; so is everything where lanes are few.
"""

import numpy as np

from laconic.coding.lanes import GROUP, LOW
from laconic.coding.levels import DIRECT
from laconic.coding.model import PRECISION, TOTAL

FEW = 64
"""Fewer lanes are decoded one symbol at a time."""

_SLOTS = TOTAL - 1
_BUCKETS = 2 * DIRECT - 1


class _Reader:
    """The decoder's state, and its two ways to go on.

    Args:
        words: of all groups, with spare ones at the end.
        ends: shape (groups + 1,).
        places: shape (groups,), moved as words are read.
        states: shape (L,), of rANS.
        trellis: shape (L,), of the trellis.
        table: slots of all tables.
        values: what a symbol of even and then odd levels stands for.
        xors: what an odd state and z = 1 change of the next state.
        scales: the step and the offset of large levels.
        out: where weights go.
    """

    def __init__(
        self, words: np.ndarray, ends: np.ndarray, places: np.ndarray, states: np.ndarray, trellis: np.ndarray,
        table: np.ndarray, values: np.ndarray, xors: np.ndarray, scales: np.ndarray, out: np.ndarray,
    ) -> None:  # fmt: skip
        self.words, self.ends, self.places = words.astype(np.int64), ends.astype(np.int64), places.astype(np.int64)
        self.states, self.trellis = states.astype(np.int64), trellis.astype(np.int64)
        self.table, self.values, self.out = table.astype(np.int64), values, out
        self.odd_xor, self.far_xor = (int(xor) for xor in xors)
        self.step, self.offset = (float(scale) for scale in scales)

    def one_by_one(self, first: int, end: int, base: int) -> None:
        """Decode symbols ``first`` to ``end``, whichever lanes they are of."""
        lanes, places, ends = len(self.states), self.places, self.ends
        for i in range(first, end):
            lane = i % lanes
            group = lane // GROUP
            at = int(places[group])
            if at > ends[group + 1]:
                return
            self.states[lane], places[group], self.trellis[lane] = self._one(
                int(self.states[lane]), at, int(self.trellis[lane]), base, i
            )

    def _one(self, x: int, at: int, s: int, base: int, i: int) -> tuple[int, int, int]:
        """Decode a weight to ``out[i]``: the new states of rANS and of the trellis, and the next place."""
        odd = s & 1
        entry = int(self.table[base + (odd << PRECISION) + (x & _SLOTS)])
        x = ((entry & _SLOTS) + 1) * (x >> PRECISION) + ((entry >> PRECISION) & _SLOTS)
        if x < LOW:
            x, at = x << 16 | int(self.words[at]), at + 1
        y = entry >> 24
        z = (y ^ (y >> 1)) & 1
        if y < _BUCKETS:
            self.out[i] = self.values[(odd << 8) + y]
        else:
            x, at, u, negative = self._far(x, at, y, odd)
            z = (u ^ (odd & negative)) & 1
            value = (float(2 * u + odd if self.odd_xor else u) + self.offset) * self.step
            self.out[i] = -value if negative else value
        return x, at, (s >> 1) ^ (self.odd_xor * odd) ^ (self.far_xor * z)

    def _far(self, x: int, at: int, y: int, odd: int) -> tuple[int, int, int, int]:
        """Return the state, the place, u and whether the level is negative, of a symbol of 31 or more."""
        m, negative = (y + 1 - odd) >> 1, (y & 1) ^ (1 - odd)
        if m < DIRECT:
            return x, at, m, negative
        bits, u, have = ((m - DIRECT) >> 2) + 2, 0, 0
        while have < bits:
            take = min(bits - have, 16)
            u |= (x & ((1 << take) - 1)) << have
            x >>= take
            have += take
            if x < LOW:
                x, at = x << 16 | int(self.words[at]), at + 1
        return x, at, (4 + ((m - DIRECT) & 3)) << bits | u, negative

    def steps(self, first: int, end: int, base: int) -> None:
        """Decode steps ``first`` to ``end`` of all lanes."""
        lanes, trellised = len(self.states), self.odd_xor > 0
        entries = self.table[base : base + (TOTAL << trellised)]
        frequencies, biases, symbols = (entries & _SLOTS) + 1, entries >> PRECISION & _SLOTS, entries >> 24
        odd = np.arange(len(entries)) >> PRECISION
        values = self.values[odd << 8 | symbols]
        jumps = self.odd_xor * odd ^ self.far_xor * ((symbols ^ symbols >> 1) & 1)
        far = symbols >= _BUCKETS
        watch = bool(far.any())
        for t in range(first, end):
            x = self.states
            slots = x & _SLOTS
            if trellised:
                slots |= (self.trellis & 1) << PRECISION
            if watch and far[slots].any():
                self.one_by_one(t * lanes, (t + 1) * lanes, base)
                continue
            self.out[t * lanes : (t + 1) * lanes] = values[slots]
            x >>= PRECISION
            x *= frequencies[slots]
            x += biases[slots]
            if trellised:
                self.trellis >>= 1
                self.trellis ^= jumps[slots]
            self._refill(np.flatnonzero(x < LOW))

    def _refill(self, empty: np.ndarray) -> None:
        """Give the lanes ``empty`` the next words of their groups, in their order."""
        groups = empty >> 3
        counts = np.bincount(groups, minlength=len(self.places))
        starts = self.places - np.cumsum(counts) + counts
        at = np.minimum(starts[groups] + np.arange(len(empty)), len(self.words) - 1)
        self.states[empty] = self.states[empty] << 16 | self.words[at]
        self.places += counts


def decode(
    words: np.ndarray, ends: np.ndarray, places: np.ndarray, states: np.ndarray, trellis: np.ndarray,
    table: np.ndarray, bases: np.ndarray, borders: np.ndarray, values: np.ndarray, xors: np.ndarray,
    scales: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Decode all weights to ``out``; arguments are those of `laconic.coding.fused.decode`."""
    reader = _Reader(words, ends, places, states, trellis, table, values, xors, scales, out)
    lanes = len(states)
    for base, border, end in zip(bases.tolist(), borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        first, last = -(-border // lanes), end // lanes
        if lanes < FEW or first >= last:
            reader.one_by_one(border, end, base)
            continue
        reader.one_by_one(border, first * lanes, base)
        reader.steps(first, last, base)
        reader.one_by_one(last * lanes, end, base)
    places[:], states[:] = reader.places, reader.states
