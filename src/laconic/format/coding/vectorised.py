"""The decoder of levels without a compiler: all lanes at once, a step at a time.

It says in NumPy what `laconic.format.coding.fused` says to Numba, to the same bits. A group in which a symbol is
followed by raw bits takes its step lane by lane, for there the words depend on one another; so does everything where
lanes are few.
"""

from typing import NamedTuple, final

import numpy as np

from laconic.format.coding.lanes import GROUP, LOW
from laconic.format.coding.levels import DIRECT
from laconic.format.coding.model import PRECISION, TOTAL
from laconic.format.coding.pairs import ESCAPE

FEW = 64
"""Fewer lanes are decoded one symbol at a time."""

_SLOTS = TOTAL - 1
_BUCKETS = 2 * DIRECT - 1
_MASK, _ODD, _N, _ONE, _WORD, _LEAST = (np.array(x, np.uint32) for x in (_SLOTS, TOTAL, PRECISION, 1, 16, LOW))
_SUMS, _LAST = np.array(0x0101010101010101, np.uint64), np.array(56, np.uint64)


class Segment(NamedTuple):
    """A row of the plan: the first unit, the first weight, and where the tables of units and of single levels begin."""

    unit: int
    weight: int
    base: int
    single: int

    @property
    def pairs(self) -> bool:
        """Whether a unit is a pair of weights."""
        return self.base != self.single


@final
class _Reader:
    """The decoder's state, and its two ways to go on.

    Args:
        words: of all groups, with spare ones at the end.
        ends: shape (groups + 1,).
        places: shape (groups,), moved as words are read.
        states: shape (L,), of rANS.
        trellis: shape (L,), of the trellis, at bit 12: there an odd one is the bit that tells its slots apart.
        table: slots of all tables.
        values: what a symbol of even and then odd levels stands for.
        couples: what a symbol of a pair stands for.
        xors: what an odd state and z = 1 change of the next state.
        scales: the step and the offset of large levels.
        out: where weights go.
    """

    def __init__(
        self, words: np.ndarray, ends: np.ndarray, places: np.ndarray, states: np.ndarray, trellis: np.ndarray,
        table: np.ndarray, values: np.ndarray, couples: np.ndarray, xors: np.ndarray, scales: np.ndarray,
        out: np.ndarray,
    ) -> None:  # fmt: skip
        self._later = np.append(np.uint32(0), words)  # the word before each place
        self.words, self.ends, self.places = self._later[1:], ends.astype(np.int64), places.astype(np.int64)
        self.states, self.trellis = states.astype(np.uint32), (trellis << PRECISION).astype(np.uint32)
        self.table, self.values, self.couples, self.out = table, values, couples, out
        self._empty = np.zeros(GROUP * len(places), np.bool_)
        self._eights = self._empty.view("<u8")
        self._sums = self._eights.copy()
        self._ranks, self._counts = self._sums.view(np.uint8), self._sums.view("<i8")
        self.odd_xor, self.far_xor = (int(xor) for xor in xors)
        self.step, self.offset = (float(scale) for scale in scales)

    def one_by_one(self, first: int, end: int, segment: Segment) -> None:
        """Decode units ``first`` to ``end`` of a segment, whichever lanes they are of."""
        lanes, places, ends = len(self.states), self.places, self.ends
        for unit in range(first, end):
            lane = unit % lanes
            group = lane // GROUP
            x, at, s = int(self.states[lane]), int(places[group]), int(self.trellis[lane]) >> PRECISION
            if at > ends[group + 1]:
                return
            if segment.pairs:
                x, at = self._two(x, at, segment, segment.weight + 2 * (unit - segment.unit))
            else:
                x, at, s = self._one(x, at, s, segment.single, segment.weight + unit - segment.unit)
            self.states[lane], places[group], self.trellis[lane] = x, at, s << PRECISION

    def _take(self, x: int, at: int, base: int) -> tuple[int, int, int]:
        """Take a symbol off state ``x``: the new state, the place of the next word, the symbol."""
        entry = int(self.table[base + (x & _SLOTS)])
        x = ((entry & _SLOTS) + 1) * (x >> PRECISION) + ((entry >> PRECISION) & _SLOTS)
        if x < LOW:
            x, at = x << 16 | int(self.words[at]), at + 1
        return x, at, entry >> 24

    def _two(self, x: int, at: int, segment: Segment, i: int) -> tuple[int, int]:
        """Decode a pair of weights to ``out[i]`` and ``out[i + 1]``: the new state and the next place."""
        x, at, y = self._take(x, at, segment.base)
        if y < ESCAPE:
            self.out[i : i + 2] = self.couples[2 * y : 2 * y + 2]
        else:
            x, at, _ = self._one(x, at, 0, segment.single, i)
            x, at, _ = self._one(x, at, 0, segment.single, i + 1)
        return x, at

    def _one(self, x: int, at: int, s: int, base: int, i: int) -> tuple[int, int, int]:
        """Decode a weight to ``out[i]``: the new states of rANS and of the trellis, and the next place."""
        odd = s & 1
        x, at, y = self._take(x, at, base + (odd << PRECISION))
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

    def steps(self, first: int, end: int, segment: Segment) -> None:
        """Decode steps ``first`` to ``end`` of all lanes."""
        lanes, trellised, wide = len(self.states), self.odd_xor > 0, 1 + segment.pairs
        entries = self.table[segment.base : segment.base + (TOTAL << trellised)]
        frequencies, biases, symbols = (entries & _SLOTS) + 1, entries >> PRECISION & _SLOTS, entries >> 24
        odd = (np.arange(len(entries)) >> PRECISION).astype(np.uint32)
        values = self.couples.reshape(-1, 2)[symbols] if segment.pairs else self.values[odd << 8 | symbols]
        biases |= (self.odd_xor * odd ^ self.far_xor * ((symbols ^ symbols >> 1) & 1)) << PRECISION  # and jumps
        strange = symbols >= (ESCAPE if segment.pairs else _BUCKETS)
        watch = bool(strange.any())
        i = segment.weight + wide * (first * lanes - segment.unit)
        x, s, decoded, slots = self.states, self.trellis, np.empty(lanes, np.uint32), np.empty(lanes, np.int64)
        flags, again = np.zeros(lanes, np.bool_), slots[:0]
        for t in range(first, end):
            np.bitwise_and(x, _MASK, decoded)
            if trellised:
                decoded |= s & _ODD
            np.copyto(slots, decoded)  # a type that `take` need not change
            out = self.out[i : i + wide * lanes]
            values.take(slots, 0, out.reshape(-1, 2) if segment.pairs else out, "clip")  # which checks the least
            if watch and np.count_nonzero(strange.take(slots, 0, flags, "clip")):
                again = np.flatnonzero(flags.reshape(-1, GROUP).any(axis=1))
                kept = x.reshape(-1, GROUP)[again], s.reshape(-1, GROUP)[again]
            x >>= _N
            x *= frequencies.take(slots, 0, decoded, "clip")
            biases.take(slots, 0, decoded, "clip")
            if trellised:
                s >>= _ONE
                s ^= decoded  # what this leaves below the state is shifted out
                decoded &= _MASK
            x += decoded
            if len(again):  # these have words of their own between the others'
                x.reshape(-1, GROUP)[again], s.reshape(-1, GROUP)[again] = LOW, kept[1]
            self._refill()
            if len(again):
                x.reshape(-1, GROUP)[again] = kept[0]
                for group in again.tolist():
                    unit = t * lanes + GROUP * group
                    self.one_by_one(unit, unit + GROUP, segment)
                again = slots[:0]
            i += wide * lanes

    def _refill(self) -> None:
        """Give lanes whose states are low the next words of their groups, in their order."""
        np.less(self.states, _LEAST, self._empty)
        np.multiply(self._eights, _SUMS, self._sums)  # byte k is the sum of bytes 0 to k
        empty = self._empty.nonzero()[0]
        at = self.places.take(empty >> 3)
        at += self._ranks.take(empty)
        fresh = self.states.take(empty)
        fresh <<= _WORD
        fresh |= self._later.take(at, mode="clip")
        self.states[empty] = fresh
        self._sums >>= _LAST
        self.places += self._counts


def decode(
    words: np.ndarray, ends: np.ndarray, places: np.ndarray, states: np.ndarray, trellis: np.ndarray,
    table: np.ndarray, plan: np.ndarray, values: np.ndarray, couples: np.ndarray, xors: np.ndarray,
    scales: np.ndarray, out: np.ndarray, *_kinds: object,
) -> None:  # fmt: skip
    """Decode all weights to ``out``; arguments are those of `laconic.format.coding.fused.decode`."""
    reader = _Reader(words, ends, places, states, trellis, table, values, couples, xors, scales, out)
    lanes = len(states)
    for row, (end, *_) in zip(plan[:-1].tolist(), plan[1:].tolist(), strict=True):
        segment = Segment(*row)
        first, last = -(-segment.unit // lanes), end // lanes
        if lanes < FEW or first >= last:
            reader.one_by_one(segment.unit, end, segment)
            continue
        reader.one_by_one(segment.unit, first * lanes, segment)
        reader.steps(first, last, segment)
        reader.one_by_one(last * lanes, end, segment)
    places[:], states[:] = reader.places, reader.states
