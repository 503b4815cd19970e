"""Unsigned LEB128 integers, and a cursor that never reads past the end of its bytes."""

from typing import final

from laconic.errors import FormatError


def varint(number: int) -> bytes:
    """Return ``number`` (0 ≤ number < 2⁶⁴) as unsigned LEB128: seven bits a byte, lowest first.

    >>> varint(300).hex()
    'ac02'
    """
    assert 0 <= number < 1 << 64, number
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@final
class Cursor:
    """A place in some bytes that moves forward as they are read; every read past the end is a `FormatError`.

    Args:
        data: what is read.
        origin: offset of ``data`` in its file, for messages.
    """

    def __init__(self, data: bytes | memoryview, origin: int = 0) -> None:
        self._data = data
        self._origin = origin
        self._at = 0

    @property
    def left(self) -> int:
        """Number of bytes not yet read."""
        return len(self._data) - self._at

    def fail(self, message: str) -> FormatError:
        """Return the error that says ``message`` and where."""
        return FormatError(f"byte {self._origin + self._at}: {message}")

    def take(self, length: int) -> bytes | memoryview:
        """Return the next ``length`` bytes."""
        if length > self.left:
            raise self.fail(f"{length} bytes are needed, {self.left} are left")
        piece = self._data[self._at : self._at + length]
        self._at += length
        return piece

    def rest(self) -> bytes | memoryview:
        """Return all bytes that are left."""
        return self.take(self.left)

    def unsigned(self, width: int) -> int:
        """Return the next little-endian unsigned integer of ``width`` bytes."""
        return int.from_bytes(self.take(width), "little")

    def varint(self) -> int:
        """Return the next varint, which must be written in the fewest bytes and stay below 2⁶⁴."""
        at, data = self._at, self._data
        if at < len(data) and data[at] < 0x80:  # most are of one byte, and a table has tens of thousands
            self._at = at + 1
            return data[at]
        number = shift = 0
        while True:
            byte = self.unsigned(1)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise self.fail("an integer of more than 64 bits")
        if number >> 64 or (byte == 0 and shift):
            raise self.fail("an integer of more than 64 bits, or written in too many bytes")
        return number
