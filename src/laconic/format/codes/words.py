"""How small integers lie in the words of a checkpoint that somebody else has quantized, by five numbers.

`docs/format.md` is normative, under "Packed", and says which numbers the layouts of GPTQ, AWQ and compressed-tensors
have.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

WIDEST = 16
"""Bits of an integer, at most."""

SPANS = 16
"""Words that are read as one, at most."""


@final
@dataclass(frozen=True)
class Words:
    """Where integers lie in a matrix of words.

    Args:
        bits: of an integer, 1 to 16.
        span: consecutive words that are one little-endian number, in which integers lie one after the other.
        axis: along which words follow one another: 0, down a column; 1, along a row.
        order: 0, integers lie as they are counted; 1, those of even number come first, then the others.
        turned: whether integers are coded across the axis instead of along it.

    >>> Words(4, 1, 1).unpacked(np.uint32([[0x76543210, 0xFEDCBA98]])).tolist()
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]
    """

    bits: int
    span: int
    axis: int
    order: int = 0
    turned: bool = False

    def fields(self, width: int) -> int:
        """Return how many integers lie in ``span`` words of so many bits."""
        return self.span * width // self.bits

    def size(self, shape: tuple[int, int], width: int) -> tuple[int, int]:
        """Return the shape of the integers in words of so many bits: what follows along an axis is a row."""
        lines, words = shape if self.axis else shape[::-1]
        return lines, words // self.span * self.fields(width)

    def unpacked(self, words: np.ndarray) -> np.ndarray:
        """Return the integers, uint8 or uint16, of unsigned words of two axes."""
        lines = words if self.axis else words.T
        width = 8 * words.itemsize
        grouped = lines.reshape(len(lines), lines.shape[1] // self.span, self.span)
        found = np.empty((*grouped.shape[:2], self.fields(width)), np.uint8 if self.bits <= 8 else np.uint16)
        for place, number in enumerate(self._numbers(width)):
            word, low = divmod(place * self.bits, width)
            field = grouped[..., word] >> words.dtype.type(low)
            if low + self.bits > width:
                field = field | grouped[..., word + 1] << words.dtype.type(width - low)
            found[..., number] = field & words.dtype.type((1 << self.bits) - 1)
        return found.reshape(len(lines), grouped.shape[1] * self.fields(width))

    def packed(self, integers: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Invert `unpacked`: return words of the unsigned ``dtype``; bits that belong to no integer are 0."""
        width = 8 * dtype.itemsize
        fields = self.fields(width)
        grouped = integers.reshape(len(integers), integers.shape[1] // fields, fields)
        words = np.zeros((*grouped.shape[:2], self.span), dtype)
        for place, number in enumerate(self._numbers(width)):
            word, low = divmod(place * self.bits, width)
            field = grouped[..., number].astype(dtype)
            words[..., word] |= field << dtype.type(low)
            if low + self.bits > width:
                words[..., word + 1] |= field >> dtype.type(width - low)
        lines = words.reshape(len(integers), grouped.shape[1] * self.span)
        return np.ascontiguousarray(lines if self.axis else lines.T)

    def _numbers(self, width: int) -> list[int]:
        """Return the number of the integer at each place, the lowest first."""
        numbers = list(range(self.fields(width)))
        return numbers[::2] + numbers[1::2] if self.order else numbers
