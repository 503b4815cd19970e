"""Words in which somebody else has packed small integers: the integers are coded, the words come back bit by bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.streams import Symbols
from laconic.format.codes.words import SPANS, WIDEST, Words
from laconic.format.coding import dtype_of, itemsize

_INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
_GROUPS = (32, 64, 128)
"""Lengths of groups that have a scale of their own, as others quantize."""


@final
@dataclass(frozen=True, eq=False)
class PackedCode(Code):
    """Δ(Θ) are words of which each holds several integers, in a layout that is told by five numbers.

    Args:
        shape: of the words, two axes.
        dtype: their type, of integers.
        words: the layout.
        integers: symbols of alphabet 2^bits, line by line as `Words.unpacked` gives them, or across, if it is turned.

    >>> PackedCode.of(np.int32([[0x321], [-1]]), Words(4, 1, 1)).decompress()
    array([[801], [ -1]], dtype=int32)
    """

    shape: tuple[int, ...]
    dtype: str
    words: Words
    integers: Symbols

    @classmethod
    def of(cls, array: np.ndarray, words: Words) -> "PackedCode | None":
        """Return the code of ``array``; None where it has no such layout: other axes or types, or bits between."""
        if array.ndim != 2 or array.dtype.name not in _INTEGERS or not array.size:
            return None
        plain = np.ascontiguousarray(array).view(f"u{array.itemsize}")
        if plain.shape[words.axis] % words.span or not words.fields(8 * array.itemsize):
            return None
        found = words.unpacked(plain)
        if (words.packed(found, plain.dtype) != plain).any():
            return None
        symbols = (found.T if words.turned else found).reshape(-1)
        return cls(array.shape, array.dtype.name, words, Symbols(symbols, 1 << words.bits))

    def decompress(self) -> np.ndarray:
        """Pack the integers."""
        kind = dtype_of(self.dtype)
        size = self._size()
        lines = self.integers.array.reshape(size[::-1]).T if self.words.turned else self.integers.array.reshape(size)
        return self.words.packed(lines, np.dtype(f"u{kind.itemsize}")).view(kind)

    def streams(self) -> Mapping[str, Part]:
        """Return the integers."""
        return {"integers": self.integers}

    def runs(self) -> Mapping[str, tuple[int, ...]]:
        """Return the length of a line and of the groups that may be in it."""
        lines, line = self._size()
        line = lines if self.words.turned else line
        return {"integers": (line, *(group for group in _GROUPS if group < line and line % group == 0))}

    def facts(self) -> tuple[int, ...]:
        """Return the layout."""
        return self.words.bits, self.words.span, self.words.axis, self.words.order, int(self.words.turned)

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "PackedCode":
        """Invert `streams`."""
        integers = part(streams, "integers", Symbols)
        require(dtype in _INTEGERS and len(shape) == 2, f"packed integers in {dtype} of {len(shape)} axes")
        fits = len(facts) == 5 and 1 <= facts[0] <= WIDEST and 1 <= facts[1] <= SPANS and max(facts[2:]) < 2
        require(fits, f"a packed code with facts {facts}")
        words, width = Words(facts[0], facts[1], facts[2], facts[3], facts[4] == 1), 8 * itemsize(dtype)
        require(words.bits <= width, f"integers of {words.bits} bits in words of {width}")
        require(shape[words.axis] % words.span == 0, f"{shape[words.axis]} words, {words.span} of which are one number")
        code = cls(shape, dtype, words, integers)
        lines, line = code._size()
        require(len(integers) == lines * line, f"{len(integers)} integers, where {lines} x {line} are packed")
        require(integers.alphabet == 1 << words.bits, f"an alphabet of {integers.alphabet} for {words.bits} bits")
        return code

    def check(self) -> None:
        """Find nothing: `from_streams` has seen all."""

    def labels(self) -> None:
        """Return None: nothing is chosen of weights."""
        return None

    def _size(self) -> tuple[int, int]:
        """Return the number of lines, and of integers in a line."""
        return self.words.size((self.shape[0], self.shape[1]), 8 * itemsize(self.dtype))
