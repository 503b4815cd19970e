"""Symbols to bytes by whichever method is the shortest: constant, packed, rANS, split for large alphabets, classes.

The first byte says how: bits 0–1 the method (0 constant, 1 packed, 2 rANS, 3 split where the alphabet has more than
1024 symbols, else classes of runs, `laconic.format.coding.classes`), and for rANS bits 2–3 the precision, as its
position in `PRECISIONS`, and bits 4–7 the width (`laconic.format.coding.lanes`).
`docs/format.md` is normative.
"""

import numpy as np

from laconic.errors import FormatError
from laconic.format.coding.classes import MOST, SHORTEST, Runs, classes_of
from laconic.format.coding.frequencies import FRACTION, cost, entropy_of, histogram, normalise
from laconic.format.coding.lanes import WIDEST, lanes_of, width_for
from laconic.format.coding.packing import pack_bits, packed_size, unpack_bits
from laconic.format.coding.rans import decode, encode
from laconic.format.coding.tables import read_table, table_bytes
from laconic.format.coding.varints import Cursor, varint

PRECISIONS = (8, 10, 12, 14)
"""Logarithms of the sum of frequencies; the position in this tuple is the number in the file."""

MAX_COUNT = 1 << 30
"""No call takes more symbols than this."""

_CONSTANT, _PACKED, _RANS, _SPLIT = range(4)
_CLASSES = _SPLIT  # of an alphabet that is not split
_LARGEST = 1024  # symbols that a frequency table may have
_DOUBT = 8  # bytes: many times what rounding does to an entropy


def symbol_dtype(alphabet: int) -> np.dtype:
    """Return the smallest unsigned dtype that holds ``range(alphabet)``."""
    return np.dtype(np.uint8 if alphabet <= 1 << 8 else np.uint16 if alphabet <= 1 << 16 else np.uint32)


def encode_symbols(symbols: np.ndarray, alphabet: int, runs: Runs | None = None) -> bytes:
    """Return ``symbols`` as bytes: order-0 entropy, or packed bits plus one byte, whichever is shorter.

    Args:
        symbols: shape (count,), unsigned, each below ``alphabet``; at most `MAX_COUNT` of them.
        alphabet: number of possible symbols, at most 2³².
        runs: of neighbours that may be alike: then order-0 entropy of each class of them, where that is shorter still.

    >>> decode_symbols(encode_symbols(np.uint8([2, 0, 2, 2]), 3), 4, 3)
    array([2, 0, 2, 2], dtype=uint8)
    """
    assert len(symbols) <= MAX_COUNT
    assert alphabet <= 1 << 32
    if not len(symbols):
        return b""
    symbols = np.ascontiguousarray(symbols, symbol_dtype(alphabet))
    largest = int(symbols.max())
    assert largest < alphabet, f"symbol {largest} outside an alphabet of {alphabet}"
    if largest == int(symbols.min()):
        return bytes([_CONSTANT]) + varint(largest)
    width = (alphabet - 1).bit_length()
    packed = 1 + packed_size(len(symbols), width)
    if alphabet > _LARGEST:
        found = [_encode_split(symbols, alphabet, runs)]
    else:
        classed = _encode_classes(symbols, alphabet, runs) if runs and runs.first < len(symbols) else None
        found = [each for each in (_encode_rans(symbols, alphabet, packed), classed) if each is not None]
    better = min(found, key=len, default=None)
    if better is None or len(better) >= packed:
        return bytes([_PACKED]) + pack_bits(symbols, width)
    return better


def decode_symbols(data: bytes | memoryview, count: int, alphabet: int) -> np.ndarray:
    """Invert `encode_symbols`: return ``count`` symbols as `symbol_dtype`.

    Raises:
        FormatError: when ``data`` is not exactly what some encoder would write for these symbols.
    """
    dtype = symbol_dtype(alphabet)
    if not 0 <= count <= MAX_COUNT or not 0 <= alphabet <= 1 << 32 or (count and not alphabet):
        raise FormatError(f"{count} symbols of an alphabet of {alphabet}")
    if not count:
        if len(data):
            raise FormatError(f"{len(data)} bytes for no symbols")
        return np.empty(0, dtype)
    cursor = Cursor(data)
    head = cursor.unsigned(1)
    method = head & 3
    if head > 3 and method != _RANS:
        raise FormatError(f"unknown method {head} of coding symbols")
    if method == _CONSTANT:
        return np.full(count, _constant(cursor, alphabet), dtype)
    if method == _PACKED:
        return _inside(unpack_bits(cursor.rest(), count, (alphabet - 1).bit_length(), dtype), alphabet)
    if method == _SPLIT:
        read = _decode_split if alphabet > _LARGEST else _decode_classes
        return read(cursor, count, alphabet)
    return _decode_rans(head, cursor, count, alphabet)


def _inside(symbols: np.ndarray, alphabet: int) -> np.ndarray:
    """Return ``symbols``; raise `FormatError` when one lies outside the alphabet."""
    if alphabet < 1 << 8 * symbols.itemsize and int(symbols.max()) >= alphabet:
        raise FormatError(f"symbol {int(symbols.max())} outside an alphabet of {alphabet}")
    return symbols


def _constant(cursor: Cursor, alphabet: int) -> int:
    """Return the one symbol that a constant block repeats."""
    symbol = cursor.varint()
    if cursor.left or symbol >= alphabet:
        raise FormatError(f"constant symbol {symbol} of an alphabet of {alphabet}, {cursor.left} bytes too many")
    return symbol


def _encode_rans(symbols: np.ndarray, alphabet: int, limit: int) -> bytes | None:
    """Return the shortest rANS coding over all precisions, or None where none is expected below ``limit`` bytes."""
    counts = histogram(symbols, alphabet)
    used = np.count_nonzero(counts)
    if (entropy_of(counts) + 4 * used) / 8 - _DOUBT >= limit:  # a table has 4 bits or more for each symbol
        return None
    best: tuple[int, int, np.ndarray, bytes] | None = None
    for number, precision in enumerate(PRECISIONS):
        if used > 1 << precision:
            continue
        frequencies = normalise(counts, precision)
        table = table_bytes(frequencies)
        size = (cost(counts, frequencies, precision) >> FRACTION + 3) + len(table)
        if best is None or size < best[0]:
            best = size, number, frequencies, table
    if best is None or best[0] >= limit:
        return None
    size, number, frequencies, table = best
    width = width_for(size - len(table))
    head = bytes([_RANS | number << 2 | width << 4])
    return head + table + encode(symbols, frequencies, PRECISIONS[number], lanes_of(width))


def _decode_rans(head: int, cursor: Cursor, count: int, alphabet: int) -> np.ndarray:
    """Return the symbols of the rANS coding whose first byte is ``head`` and whose others are those of ``cursor``."""
    precision, width = PRECISIONS[head >> 2 & 3], head >> 4
    if width > WIDEST or alphabet > _LARGEST:
        raise FormatError(f"unknown rANS coding {head} of an alphabet of {alphabet}")
    data = cursor.rest()
    frequencies, used = read_table(data, alphabet, precision)
    return decode(Cursor(data[used:]), count, frequencies, precision, lanes_of(width), symbol_dtype(alphabet))


def _split(alphabet: int) -> int:
    """Return how many low bits are cut off so that no more than 1024 high parts are possible."""
    shift = 0
    while (alphabet - 1) >> shift >= _LARGEST:
        shift += 1
    return shift


def _encode_split(symbols: np.ndarray, alphabet: int, runs: Runs | None) -> bytes:
    """Return packed low bits, then the high parts as symbols of a small alphabet."""
    shift = _split(alphabet)
    low = pack_bits(symbols, shift)
    high = symbols >> symbols.dtype.type(shift)
    return bytes([_SPLIT]) + low + encode_symbols(high, ((alphabet - 1) >> shift) + 1, runs)


def _decode_split(cursor: Cursor, count: int, alphabet: int) -> np.ndarray:
    """Invert `_encode_split`."""
    shift, dtype = _split(alphabet), symbol_dtype(alphabet)
    low = cursor.take(packed_size(count, shift))
    high = decode_symbols(cursor.rest(), count, ((alphabet - 1) >> shift) + 1)
    return _inside(unpack_bits(low, count, shift, dtype, high), alphabet)


def _encode_classes(symbols: np.ndarray, alphabet: int, runs: Runs) -> bytes | None:
    """Return how runs are cut, the class of each, and the symbols of each class; None where one table is as short."""
    kinds = classes_of(symbols, alphabet, runs)
    if kinds is None:
        return None
    many = int(kinds.max()) + 1
    told = encode_symbols(kinds, many)
    own = [encode_symbols(runs.taken(symbols, kinds == kind), alphabet) for kind in range(many)]
    numbers = b"".join(map(varint, (runs.length, runs.first, many, len(told))))
    chained = b"".join(varint(len(piece)) + piece for piece in own[:-1]) + own[-1]
    return bytes([_CLASSES]) + numbers + told + chained


def _decode_classes(cursor: Cursor, count: int, alphabet: int) -> np.ndarray:
    """Invert `_encode_classes`."""
    runs, many = Runs(cursor.varint(), cursor.varint()), cursor.varint()
    if not (SHORTEST <= runs.length and 1 <= runs.first <= min(runs.length, count - 1) and 2 <= many <= MOST):
        raise FormatError(f"{many} classes of runs of {runs.length}, the first of {runs.first}, of {count} symbols")
    number = runs.number(count)
    kinds = _plain(cursor.take(cursor.varint()), number, many)
    lengths = np.bincount(kinds, weights=np.diff(runs.borders(count)), minlength=many).astype(np.int64)
    if not lengths.all():
        raise FormatError(f"{np.count_nonzero(lengths)} of {many} classes are used")
    symbols = np.empty(count, symbol_dtype(alphabet))
    for kind, length in enumerate(lengths.tolist()):
        own = cursor.take(cursor.varint()) if kind < many - 1 else cursor.rest()
        runs.put(symbols, kinds == kind, _plain(own, length, alphabet))
    return symbols


def _plain(data: bytes | memoryview, count: int, alphabet: int) -> np.ndarray:
    """Return the symbols of a block within classes, which has none itself."""
    if len(data) and data[0] & 3 == _CLASSES:
        raise FormatError("classes within classes")
    return decode_symbols(data, count, alphabet)
