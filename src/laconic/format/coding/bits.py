"""Single bits in and out, for what is small: tables, not weights. The lowest bit of a byte is the first."""

from typing import final

from laconic.errors import FormatError

_LONGEST = 16  # no code of a sound file is longer


@final
class BitWriter:
    """Bits in the making."""

    def __init__(self) -> None:
        self._value = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, value: int, width: int) -> None:
        """Add the lowest ``width`` bits of ``value``, which has no others."""
        assert 0 <= value < 1 << width, (value, width)
        self._value |= value << self._length
        self._length += width

    def signed_golomb(self, value: int, order: int) -> None:
        """Add an integer as an exponential Golomb code of 0, 1, −1, 2, −2, …: short where it is small."""
        folded = (2 * value - 1 if value > 0 else -2 * value) + (1 << order)
        extra = folded.bit_length() - 1 - order
        self.put((1 << extra) - 1, extra + 1)
        self.put(folded - (1 << extra + order), extra + order)

    def bytes(self) -> bytes:
        """Return all bits, filled up with zeros to whole bytes."""
        return self._value.to_bytes((self._length + 7) // 8, "little")


@final
class BitReader:
    """Bits that are read one after the other; every read past the end is a `FormatError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def get(self, width: int) -> int:
        """Return the next ``width`` bits."""
        first, end = self._at // 8, self._at + width
        if end > 8 * len(self._data):
            raise FormatError("a table of levels that is cut short")
        value = int.from_bytes(self._data[first : (end + 7) // 8], "little") >> self._at % 8
        self._at = end
        return value & ((1 << width) - 1)

    def signed_golomb(self, order: int) -> int:
        """Invert `BitWriter.signed_golomb`.

        >>> writer = BitWriter()
        >>> writer.signed_golomb(-7, 2)
        >>> BitReader(writer.bytes()).signed_golomb(2)
        -7
        """
        extra = 0
        while self.get(1):
            extra += 1
            if extra > _LONGEST:
                raise FormatError("a difference of costs that is too large")
        folded = (1 << extra + order) + self.get(extra + order) - (1 << order)
        return (folded + 1) // 2 if folded % 2 else -folded // 2

    def finish(self) -> None:
        """Raise `FormatError` unless less than a byte is left, all zeros."""
        left = 8 * len(self._data) - self._at
        if left > 7 or self.get(left):
            raise FormatError("bytes after the last table of levels")
