"""Canonical Huffman codes of at most 32 bits: the best code that gives each symbol a whole number of bits.

laconic's own files use rANS, which has no floor of one bit a symbol; this is the coder of published formats.

Layout of a stream (nothing at all for no symbols): one byte, the longest length l. Where l is 0, one symbol repeats:
it follows as a varint. Else the last symbol that occurs as a varint; the lengths of all symbols up to it, each in as
many bits as l takes, 0 for one that does not occur, lowest bit first; then the codes, highest bit first. Both are
filled up with zeros to whole bytes.

Source: D. Huffman, "A method for the construction of minimum-redundancy codes" (1952); canonical order as in RFC 1951,
section 3.2.2.
"""

import numpy as np

from laconic.compiled import compiled
from laconic.errors import FormatError
from laconic.format.coding.frequencies import histogram
from laconic.format.coding.packing import frozen, pack_bits, packed_size, unpack_bits
from laconic.format.coding.symbols import MAX_COUNT, symbol_dtype
from laconic.format.coding.varints import Cursor, varint

MAX_LENGTH = 32
"""No code is longer, in bits."""

MAX_ALPHABET = 1 << 16
"""No alphabet is larger."""

_LOOKUP = 11  # bits that the decoder looks up at once: 8 KiB, which stay in the first cache
_LENGTH_BITS = np.uint32(6)  # of an entry of that table, below its symbol
_LENGTH_MASK = np.uint32(63)
_WINDOW = np.uint64(64)
_BYTE = np.uint64(8)
_BYTE_MASK = np.uint64(255)


def code_lengths(counts: np.ndarray, limit: int = MAX_LENGTH) -> np.ndarray:
    """Return the length in bits of each symbol's code in a shortest prefix code.

        min over l   Σ cᵢ lᵢ   subject to   Σ 2^−lᵢ ≤ 1,   1 ≤ lᵢ ≤ limit

    over the symbols that occur. Method: package-merge, exact, O(limit · n log n). An item of level j is a symbol or a
    pair of items of level j − 1; the 2n − 2 lightest of the last level are the answer, and a symbol's length is the
    number of items that hold it.

    Args:
        counts: shape (alphabet,), int64, not negative, sum below 2⁵⁶.
        limit: longest length allowed, in bits, with at most 2^limit symbols that occur.

    Returns:
        Shape (alphabet,), int64; 0 where the count is 0, and throughout where fewer than two symbols occur.

    Source: Larmore & Hirschberg, "A fast algorithm for optimal length-limited Huffman codes" (JACM 1990).

    >>> code_lengths(np.array([5, 1, 0, 2, 1]))
    array([1, 3, 0, 2, 3])
    """
    lengths = np.zeros(len(counts), np.int64)
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return lengths
    assert len(used) <= 1 << limit, f"{len(used)} symbols have no prefix code of {limit} bits"
    order = used[np.argsort(counts[used], kind="stable")]
    symbols = items = counts[order]
    levels = [np.ones(len(order), np.bool_)]
    for _ in range(min(limit, len(order) - 1) - 1):  # no shortest code is longer than n − 1
        pairs = items[: len(items) // 2 * 2].reshape(-1, 2).sum(axis=1)
        both = np.concatenate([symbols, pairs])
        at = np.argsort(both, kind="stable")
        items = both[at]
        levels.append(at < len(order))
    taken = 2 * len(order) - 2
    for is_symbol in reversed(levels):
        lightest = np.count_nonzero(is_symbol[:taken])
        lengths[order[:lightest]] += 1
        taken = 2 * (taken - int(lightest))
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """Return the codes of ``lengths`` (shape (alphabet,), at most 32, Σ 2^−l ≤ 1), uint64; 0 where the length is 0.

    They count up in the order of length, then symbol, so that the lengths alone say them.

    >>> canonical_codes(np.array([1, 3, 0, 2, 3]))
    array([0, 6, 0, 2, 7], dtype=uint64)
    """
    codes = np.zeros(len(lengths), np.uint64)
    order = _canonical_order(lengths)
    shares = np.uint64(1) << (MAX_LENGTH - lengths[order]).astype(np.uint64)  # of all words of 32 bits
    codes[order] = (np.cumsum(shares) - shares) // shares
    return codes


def payload_bits(symbols: np.ndarray, alphabet: int) -> int:
    """Return the bits of the codes of ``symbols`` together: what `encode` writes, less table and filling.

    >>> payload_bits(np.uint8([0, 1, 0, 0, 2]), 3)
    7
    """
    counts = histogram(symbols, alphabet)
    return int(np.dot(counts, code_lengths(counts)))


def encode(symbols: np.ndarray, alphabet: int) -> bytes:
    """Return ``symbols`` as bytes: table of lengths, then codes.

    Args:
        symbols: shape (count,), unsigned, each below ``alphabet``; at most `MAX_COUNT` of them.
        alphabet: number of possible symbols, at most `MAX_ALPHABET`.

    >>> decode(encode(np.uint8([2, 0, 2, 2]), 3), 4, 3)
    array([2, 0, 2, 2], dtype=uint8)
    """
    assert len(symbols) <= MAX_COUNT
    assert alphabet <= MAX_ALPHABET
    if not len(symbols):
        return b""
    symbols = np.ascontiguousarray(symbols, symbol_dtype(alphabet))
    assert int(symbols.max()) < alphabet, f"symbol {symbols.max()} outside an alphabet of {alphabet}"
    counts = histogram(symbols, alphabet)
    lengths = code_lengths(counts)
    longest, top = int(lengths.max()), int(np.flatnonzero(counts)[-1])
    head = bytes([longest]) + varint(top)
    if not longest:
        return head
    out = np.zeros(packed_size(int(np.dot(counts, lengths)), 1), np.uint8)
    _write(frozen(symbols), canonical_codes(lengths), lengths.astype(np.uint64), out)
    return head + pack_bits(lengths[: top + 1].astype(np.uint8), longest.bit_length()) + out.tobytes()


def decode(data: bytes | memoryview, count: int, alphabet: int) -> np.ndarray:
    """Invert `encode`: return ``count`` symbols as `symbol_dtype`.

    Nothing is allocated for more symbols than ``data`` can hold, but for a repeated one: bound ``count`` first.

    Raises:
        FormatError: when ``data`` is not a table of a complete code and exactly ``count`` of its codes.
    """
    if not 0 <= count <= MAX_COUNT or not 0 <= alphabet <= MAX_ALPHABET or (count and not alphabet):
        raise FormatError(f"{count} symbols of an alphabet of {alphabet}")
    dtype = symbol_dtype(alphabet)
    if not count:
        if len(data):
            raise FormatError(f"{len(data)} bytes for no symbols")
        return np.empty(0, dtype)
    cursor = Cursor(data)
    longest, top = cursor.unsigned(1), cursor.varint()
    if longest > MAX_LENGTH or top >= alphabet:
        raise FormatError(f"Huffman codes of up to {longest} bits, symbols up to {top} of an alphabet of {alphabet}")
    if not longest:
        if cursor.left:
            raise FormatError(f"{cursor.left} bytes after a symbol that repeats")
        return np.full(count, top, dtype)
    lengths = _read_lengths(cursor, longest, top)
    codes = frozen(np.frombuffer(cursor.rest(), np.uint8))
    if count > 8 * len(codes):
        raise FormatError(f"{count} Huffman codes in {len(codes)} bytes")
    out = np.empty(count, dtype)
    used = int(_read(codes, *_decoder_tables(lengths, longest), out))
    spare = 8 * len(codes) - used
    if not 0 <= spare < 8 or codes[-1] & ((1 << spare) - 1):
        raise FormatError(f"{count} Huffman codes take {used} bits, not {len(codes)} bytes filled up with zeros")
    return out


def _canonical_order(lengths: np.ndarray) -> np.ndarray:
    """Return the symbols that have a code, by length and then by number."""
    used = np.flatnonzero(lengths)
    order: np.ndarray = used[np.argsort(lengths[used], kind="stable")]
    return order


def _read_lengths(cursor: Cursor, longest: int, top: int) -> np.ndarray:
    """Return the lengths of symbols 0 to ``top``, int64; raise `FormatError` unless every word of bits is a code."""
    width = longest.bit_length()
    packed = cursor.take(packed_size(top + 1, width))
    lengths = unpack_bits(packed, top + 1, width, np.dtype(np.uint8)).astype(np.int64)
    if int(lengths.max()) != longest or not lengths[-1]:
        raise FormatError(f"Huffman lengths up to {lengths.max()} bits instead of {longest}, the last {lengths[-1]}")
    if int(np.sum(1 << (MAX_LENGTH - lengths[lengths > 0]))) != 1 << MAX_LENGTH:
        raise FormatError("Huffman lengths that are not those of a complete code")
    return lengths


def _decoder_tables(lengths: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.uint64]:
    """Return what `_read` looks up.

    Returns:
        Symbol and length for each word of the first bits, uint32, 0 where the code is longer; for each length the
        end of its codes and what to add to a code for its place in canonical order, uint64, shape (longest + 1, 2),
        the latter modulo 2⁶⁴; the symbols in canonical order; the number of bits looked up.
    """
    order = _canonical_order(lengths)
    sorted_lengths = lengths[order]
    width = min(longest, _LOOKUP)
    short = np.count_nonzero(sorted_lengths <= width)
    entries = (order[:short] << int(_LENGTH_BITS) | sorted_lengths[:short]).astype(np.uint32)
    lookup = np.zeros(1 << width, np.uint32)
    filled = np.repeat(entries, 1 << (width - sorted_lengths[:short]))
    lookup[: len(filled)] = filled
    ends = np.zeros((longest + 1, 2), np.uint64)
    code = place = 0
    for length, number in enumerate(np.bincount(sorted_lengths, minlength=longest + 1).tolist()):
        code <<= 1
        ends[length] = code + number, (place - code) % (1 << 64)
        code, place = code + number, place + number
    return lookup, ends, order, np.uint64(width)


@compiled
def _write(symbols, codes, lengths, out):  # type: ignore[no-untyped-def]
    """Write the codes to ``out``, of exactly the right size and zero."""
    pending = held = np.uint64(0)  # fewer than 8 bits are held between symbols
    at = np.uint64(0)
    for i in range(len(symbols)):
        length = lengths[symbols[i]]
        pending = pending << length | codes[symbols[i]]
        held += length
        while held >= _BYTE:
            held -= _BYTE
            out[at] = (pending >> held) & _BYTE_MASK
            at += np.uint64(1)
    if held:
        out[at] = (pending << (_BYTE - held)) & _BYTE_MASK


@compiled
def _long_code(window, ends, order, length):  # type: ignore[no-untyped-def]
    """Return symbol and length of the code at the head of ``window``, which has at least ``length`` bits.

    The code is complete, so that every word is below the end of the longest length at the latest.
    """
    code = window >> (_WINDOW - length)
    while code >= ends[length, 0]:
        length += np.uint64(1)
        code = window >> (_WINDOW - length)
    return order[code + ends[length, 1]], length


@compiled
def _read(data, lookup, ends, order, width, out):  # type: ignore[no-untyped-def]
    """Fill ``out``; return the bits used, which are more than there are where ``data`` is too short.

    Past the end it reads zeros: the caller compares the bits used with the bits there.
    """
    window = held = used = np.uint64(0)  # the next bits, from the highest down
    at = np.uint64(0)
    for i in range(len(out)):
        while held <= _WINDOW - _BYTE:
            byte = np.uint64(data[at]) if at < np.uint64(len(data)) else np.uint64(0)
            window |= byte << (_WINDOW - _BYTE - held)
            held += _BYTE
            at += np.uint64(1)
        entry = lookup[window >> (_WINDOW - width)]
        length = np.uint64(entry & _LENGTH_MASK)
        symbol = np.int64(entry >> _LENGTH_BITS)
        if not length:
            symbol, length = _long_code(window, ends, order, width + np.uint64(1))
        out[i] = symbol
        window <<= length
        held -= length
        used += length
    return used
