"""The frequency table of a stream, as bits.

For each symbol in turn four bits, lowest bit first: 0 = absent; 1 … 14 = the number of bits of its frequency, whose
bits below the leading one follow; 15 = eight bits c follow, and c + 4 symbols are absent. The table ends where the
frequencies reach their sum, 2ⁿ; symbols after it are absent. The last byte is filled up with zeros.
"""

import numpy as np

from laconic.compiled import compiled
from laconic.errors import FormatError
from laconic.format.coding.packing import frozen

_RUN, _SHORTEST, _LONGEST = 15, 4, 259


def table_bytes(frequencies: np.ndarray) -> bytes:
    """Return the table of ``frequencies`` (shape (alphabet,), int64, each below 2¹⁴, two or more above 0)."""
    out = np.zeros(4 * len(frequencies) + 8, np.uint8)  # 18 bits a symbol at most
    return out[: (_write(frequencies, out) + 7) // 8].tobytes()


def read_table(data: bytes | memoryview, alphabet: int, precision: int) -> tuple[np.ndarray, int]:
    """Return the frequencies, shape (alphabet,), int64, and the number of bytes of the table at the head of ``data``.

    Raises:
        FormatError: when it is cut short, when the sum is not 2ⁿ, or when it is not filled up with zeros.
    """
    frequencies = np.zeros(alphabet, np.int64)
    head = data[: 4 * alphabet + 8]
    used = int(_read(frozen(np.frombuffer(head, np.uint8)), 1 << precision, frequencies))
    if used < 0:
        raise FormatError(f"frequency table: does not sum to {1 << precision} within {alphabet} symbols")
    return frequencies, (used + 7) // 8


@compiled
def _put(out, at, value, width):  # type: ignore[no-untyped-def]
    """Write ``width`` bits and return the position after them."""
    for k in range(width):
        out[(at + k) >> 3] |= ((value >> k) & 1) << ((at + k) & 7)
    return at + width


@compiled
def _get(data, at, width):  # type: ignore[no-untyped-def]
    """Return ``width`` bits from position ``at``; the caller has checked that they are there."""
    value = 0
    for k in range(width):
        value |= ((np.int64(data[(at + k) >> 3]) >> ((at + k) & 7)) & 1) << k
    return value


@compiled
def _bit_length(number):  # type: ignore[no-untyped-def]
    """Return the number of bits of ``number``."""
    length = 0
    while number >> length:
        length += 1
    return length


@compiled
def _write(frequencies, out):  # type: ignore[no-untyped-def]
    """Write the table; return its length in bits."""
    at = absent = 0
    for i in range(len(frequencies)):
        if frequencies[i] == 0:
            absent += 1
            continue
        while absent >= _SHORTEST:
            run = min(absent, _LONGEST)
            at = _put(out, _put(out, at, _RUN, 4), run - _SHORTEST, 8)
            absent -= run
        at = _put(out, at, 0, 4 * absent)
        absent = 0
        length = _bit_length(frequencies[i])
        at = _put(out, _put(out, at, length, 4), frequencies[i], length - 1)
    return at


@compiled
def _read(data, total, frequencies):  # type: ignore[no-untyped-def]
    """Fill ``frequencies``; return the table's length in bits, or -1 when it is no table of this sum."""
    bits = 8 * len(data)
    at = i = 0
    left = total
    while left > 0:
        if i >= len(frequencies) or at + 4 > bits:
            return -1
        length = _get(data, at, 4)
        at += 4
        if length == 0:
            i += 1
            continue
        extra = 8 if length == _RUN else length - 1
        if at + extra > bits:
            return -1
        value = _get(data, at, extra)
        at += extra
        if length == _RUN:
            i += value + _SHORTEST
            continue
        frequencies[i] = value | (1 << extra)
        left -= frequencies[i]
        i += 1
    spare = -at & 7
    if left < 0 or _get(data, at, spare):
        return -1
    return at
