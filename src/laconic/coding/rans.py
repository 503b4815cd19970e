"""Static interleaved rANS: 32-bit states, 16-bit words, frequencies that sum to 2ⁿ.

The states stay in [2¹⁶, 2³²). Symbol i belongs to lane i mod L; all lanes read one stream of words, in the order of
the symbols. The encoder works from the last symbol to the first, so that the decoder ends with every lane at 2¹⁶,
where the encoder began, and with every word used: both are checked.

Source: J. Duda, "Asymmetric numeral systems", arXiv:1311.2540 (range variant); interleaving after F. Giesen,
"Interleaved entropy coders", arXiv:1402.3392.
"""

import numpy as np
from numba import njit

from laconic.coding.packing import frozen
from laconic.errors import FormatError

LANES = (1, 8)
"""Numbers of lanes; the position in this tuple is the number in the file."""

_LOW = np.uint64(1 << 16)
_WORD = np.uint64(16)
_WORD_MASK = np.uint64(0xFFFF)
_HALF = np.uint64(32)


def encode(symbols: np.ndarray, frequencies: np.ndarray, precision: int, lanes: int) -> bytes:
    """Return the final state of each lane (4 bytes each), then the words (2 bytes each), little-endian.

    Args:
        symbols: shape (count,), uint8 or uint16.
        frequencies: shape (alphabet,), int64, at least 1 for each symbol that occurs, sum 2ⁿ.
        precision: n, at most 14.
        lanes: one of `LANES`.
    """
    words = np.empty(len(symbols) + 1, "<u2")
    states = np.full(lanes, _LOW)
    kernel = _encode_eight if lanes == 8 else _encode_lanes
    start = kernel(frozen(symbols), _encoder_table(frequencies, precision), np.uint64(precision), states, words)
    return states.astype("<u4").tobytes() + words[int(start) :].tobytes()


def decode(
    data: bytes | memoryview, count: int, frequencies: np.ndarray, precision: int, lanes: int, dtype: np.dtype
) -> np.ndarray:
    """Invert `encode`: return ``count`` symbols.

    Raises:
        FormatError: when ``data`` is not what the encoder would have written.
    """
    if len(data) < 4 * lanes or len(data) % 2:
        raise FormatError(f"rANS data of {len(data)} bytes for {lanes} lanes")
    states = np.frombuffer(data[: 4 * lanes], "<u4").astype(np.uint64)
    if int(states.min()) < _LOW:
        raise FormatError("a rANS state below 2^16")
    stored = np.frombuffer(data[4 * lanes :], "<u2")
    if len(stored) > count:
        raise FormatError(f"{len(stored)} rANS words for {count} symbols")
    words = np.zeros(len(stored) + lanes, np.uint16)  # a step reads ahead by one word a lane at most
    words[: len(stored)] = stored
    out = np.empty(count, dtype)
    table = _decoder_table(frequencies, precision)
    kernel = _decode_eight if lanes == 8 else _decode_lanes
    used = int(kernel(words, np.uint64(len(stored)), table, np.uint64(precision), states, out))
    if used != len(stored) or (states != _LOW).any():
        raise FormatError("rANS data does not end where it began")
    return out


def _encoder_table(frequencies: np.ndarray, precision: int) -> np.ndarray:
    """Return for each symbol, uint64: the state from which a word is put out; ⌊2³¹⁺ⁿ/f⌋; f; bias."""
    f = np.maximum(frequencies, 1).astype(np.uint64)
    bias = (np.cumsum(frequencies) - frequencies).astype(np.uint64)
    return np.stack([f << np.uint64(32 - precision), np.uint64(1 << (31 + precision)) // f, f, bias], axis=1)


def _decoder_table(frequencies: np.ndarray, precision: int) -> np.ndarray:
    """Return for each slot of range(2ⁿ), uint64: frequency (from bit 32), slot − bias (from bit 16), symbol."""
    bias = np.cumsum(frequencies) - frequencies
    symbol = np.repeat(np.arange(len(frequencies)), frequencies)
    table = frequencies[symbol] << 32 | (np.arange(1 << precision) - bias[symbol]) << 16 | symbol
    return frozen(table.astype(np.uint64))


@njit(cache=True, nogil=True)
def _push(x, symbol, table, n, words, at):  # type: ignore[no-untyped-def]
    """Put ``symbol`` on state ``x``: return the new state and place of the first word.

    q is ⌊x/f⌋ or one less: x < f 2³²⁻ⁿ, so the reciprocal's rounding costs less than 1.
    """
    words[at - np.uint64(1)] = x & _WORD_MASK
    full = np.uint64(x >= table[symbol, 0])
    at -= full
    x >>= full * _WORD
    f = table[symbol, 2]
    q = (x * table[symbol, 1]) >> (np.uint64(31) + n)
    r = x - q * f
    over = np.uint64(r >= f)
    return ((q + over) << n) + r - over * f + table[symbol, 3], at


@njit(cache=True, nogil=True)
def _pop(x, table, n, mask, words, at):  # type: ignore[no-untyped-def]
    """Take a symbol off state ``x``: return the new state, the symbol and the place of the next word."""
    entry = table[x & mask]
    x = (entry >> _HALF) * (x >> n) + ((entry >> _WORD) & _WORD_MASK)
    empty = x < _LOW
    refilled = x << _WORD | np.uint64(words[at])
    return (refilled if empty else x), entry & _WORD_MASK, at + np.uint64(empty)


@njit(cache=True, nogil=True)
def _encode_range(symbols, first, end, table, n, states, words, at):  # type: ignore[no-untyped-def]
    """Encode symbols ``end``-1 down to ``first``, any number of lanes; return the place of the first word."""
    for i in range(end - 1, first - 1, -1):
        lane = i % len(states)
        states[lane], at = _push(states[lane], symbols[i], table, n, words, at)
    return at


@njit(cache=True, nogil=True)
def _encode_lanes(symbols, table, n, states, words):  # type: ignore[no-untyped-def]
    """Encode all symbols, any number of lanes; return the place of the first word."""
    return _encode_range(symbols, 0, len(symbols), table, n, states, words, np.uint64(len(words)))


@njit(cache=True, nogil=True)
def _encode_eight(symbols, table, n, states, words):  # type: ignore[no-untyped-def]
    """Encode with eight lanes held in registers; return the place of the first word."""
    whole = len(symbols) // 8 * 8
    at = _encode_range(symbols, whole, len(symbols), table, n, states, words, np.uint64(len(words)))
    a, b, c, d, e, f, g, h = (
        states[0], states[1], states[2], states[3], states[4], states[5], states[6], states[7],
    )  # fmt: skip
    for i in range(whole - 8, -1, -8):
        h, at = _push(h, symbols[i + 7], table, n, words, at)
        g, at = _push(g, symbols[i + 6], table, n, words, at)
        f, at = _push(f, symbols[i + 5], table, n, words, at)
        e, at = _push(e, symbols[i + 4], table, n, words, at)
        d, at = _push(d, symbols[i + 3], table, n, words, at)
        c, at = _push(c, symbols[i + 2], table, n, words, at)
        b, at = _push(b, symbols[i + 1], table, n, words, at)
        a, at = _push(a, symbols[i], table, n, words, at)
    states[0], states[1], states[2], states[3] = a, b, c, d
    states[4], states[5], states[6], states[7] = e, f, g, h
    return at


@njit(cache=True, nogil=True)
def _decode_range(words, stored, table, n, states, out, first, at):  # type: ignore[no-untyped-def]
    """Decode the symbols from ``first`` on, any number of lanes; return the number of words used, ≤ stored + 1."""
    mask = (np.uint64(1) << n) - np.uint64(1)
    for i in range(first, len(out)):
        if at > stored:
            break
        lane = i % len(states)
        states[lane], out[i], at = _pop(states[lane], table, n, mask, words, at)
    return at


@njit(cache=True, nogil=True)
def _decode_lanes(words, stored, table, n, states, out):  # type: ignore[no-untyped-def]
    """Decode all symbols, any number of lanes; return the number of words used."""
    return _decode_range(words, stored, table, n, states, out, 0, np.uint64(0))


@njit(cache=True, nogil=True)
def _decode_eight(words, stored, table, n, states, out):  # type: ignore[no-untyped-def]
    """Decode with eight lanes held in registers; return the number of words used (too many: cut short)."""
    mask = (np.uint64(1) << n) - np.uint64(1)
    whole = len(out) // 8 * 8
    at = np.uint64(0)
    a, b, c, d, e, f, g, h = (
        states[0], states[1], states[2], states[3], states[4], states[5], states[6], states[7],
    )  # fmt: skip
    for i in range(0, whole, 8):
        if at > stored:
            return at
        a, out[i], at = _pop(a, table, n, mask, words, at)
        b, out[i + 1], at = _pop(b, table, n, mask, words, at)
        c, out[i + 2], at = _pop(c, table, n, mask, words, at)
        d, out[i + 3], at = _pop(d, table, n, mask, words, at)
        e, out[i + 4], at = _pop(e, table, n, mask, words, at)
        f, out[i + 5], at = _pop(f, table, n, mask, words, at)
        g, out[i + 6], at = _pop(g, table, n, mask, words, at)
        h, out[i + 7], at = _pop(h, table, n, mask, words, at)
    states[0], states[1], states[2], states[3] = a, b, c, d
    states[4], states[5], states[6], states[7] = e, f, g, h
    return _decode_range(words, stored, table, n, states, out, whole, at)
