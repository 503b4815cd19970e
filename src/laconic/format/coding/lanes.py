"""How rANS states and words of several lanes lie in the file, and how many lanes there are.

Symbol i is taken from lane i mod L. Eight lanes make a group, and the lanes of a group read one sequence of 16-bit
words, in the order of their symbols: a compiled decoder keeps the eight states of a group in registers, and one
without a compiler decodes all groups at once, a step of L symbols at a time.

L grows with what is coded, so that states stay a small share of it: with the number of levels, 4096 to 8191 a lane, for
a trellis must know its lanes before anything is coded; with the bytes, of other symbols. It is a power of 2, which most
numbers of rows are multiples of: then each row of a turned grid stays in its lane. In the file: for each group the
number of its words (varint), then the L states (u32), then the words (u16), a group after the other.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import FormatError
from laconic.format.coding.varints import Cursor, varint

GROUP = 8
"""Lanes that share a sequence of words, where there is more than one lane."""

LOW = 1 << 16
"""States stay in [2¹⁶, 2³²) between symbols, and begin and end at 2¹⁶."""

SPARE = 64
"""Words of zeros after the last group: a step of a decoder may look so far ahead before it checks where it is."""


def lane_count(units: int) -> int:
    """Return L for so many levels, or pairs of them.

    >>> lane_count(32767), lane_count(32768), lane_count(120_000), lane_count(1 << 20)
    (1, 8, 16, 256)
    """
    groups = units >> 15
    return GROUP << groups.bit_length() - 1 if groups else 1


WIDEST = 6
"""The largest number of a width."""


def width_for(size: int) -> int:
    """Return the number of the width that suits so many bytes: L = 1 below 4 KiB, then about 1 KiB a lane.

    >>> [lanes_of(width_for(size)) for size in (4095, 4096, 16384, 1 << 20)]
    [1, 8, 16, 256]
    """
    return min(max((size >> 12).bit_length() - (size >= 1 << 13), int(size >= 1 << 12)), WIDEST)


def lanes_of(width: int) -> int:
    """Return L of a width: 1, 8, 16, 32, 64, 128, 256."""
    return GROUP << width - 1 if width else 1


@final
@dataclass(frozen=True, eq=False)
class Lanes:
    """The state of each lane and the words of each group.

    Args:
        states: shape (L,), uint64, in [2¹⁶, 2³²).
        words: those of all groups and then `SPARE` zeros, uint16.
        ends: shape (groups + 1,), int64: group g has the words from ends[g] to ends[g + 1].
    """

    states: np.ndarray
    words: np.ndarray
    ends: np.ndarray

    def pack(self) -> bytes:
        """Return the bytes."""
        lengths = b"".join(varint(length) for length in np.diff(self.ends).tolist())
        words = self.words[: self.ends[-1]].astype("<u2", copy=False)
        return lengths + self.states.astype("<u4").tobytes() + words.tobytes()


def parse_lanes(cursor: Cursor, lanes: int) -> Lanes:
    """Return the states and words of so many lanes, which take all that is left of ``cursor``.

    Raises:
        FormatError: when they do not fit the bytes.
    """
    if cursor.left < 4 * lanes:
        raise FormatError(f"rANS data of {cursor.left} bytes for {lanes} lanes")
    lengths = [cursor.varint() for _ in range(-(-lanes // GROUP))]
    states = np.frombuffer(cursor.take(4 * lanes), "<u4").astype(np.uint64)
    if int(states.min()) < LOW:
        raise FormatError("a rANS state below 2^16")
    if cursor.left != 2 * sum(lengths):
        raise FormatError(f"{sum(lengths)} rANS words in {cursor.left} bytes")
    words = np.zeros(sum(lengths) + SPARE, np.uint16)
    words[: len(words) - SPARE] = np.frombuffer(cursor.rest(), "<u2")
    return Lanes(states, words, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
