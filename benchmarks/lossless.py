"""General-purpose lossless coders, to set laconic's beside: bytes to bytes, each with its inverse.

Run lengths (PackBits) and LZW are small implementations of the textbook algorithms; Huffman is laconic's own canonical
coder; zstd and xz are the libraries at their strongest usual levels.
"""

import lzma
from collections.abc import Callable, Mapping

import numpy as np
from numba import njit

from laconic.format.coding import huffman

try:
    import zstandard
except ImportError:  # pragma: no cover
    zstandard = None

Coder = Callable[[bytes], int]
"""Bytes → the bytes that they are coded to."""

LZW_BITS = 16
"""The longest code; a full dictionary is emptied, as in compress(1)."""


def coders() -> Mapping[str, Coder]:
    """Return the coders by name; one whose library is not installed is left out."""
    found: dict[str, Coder] = {
        "run-length": lambda data: len(run_length(data)),
        "LZW": lambda data: len(lzw(data)),
    }
    if zstandard is not None:
        found["zstd -19"] = lambda data: len(zstandard.ZstdCompressor(level=19).compress(data))
    found["xz -9"] = lambda data: len(lzma.compress(data, preset=9))
    return found


MISSING = None if zstandard is not None else "zstandard is not installed: no row for zstd -19 (pip install zstandard)"
"""The sentence to print where a coder is left out."""


def huffman_size(parts: list[np.ndarray]) -> int:
    """Return the bytes of canonical Huffman codes, one table a part, tables counted; parts are integers."""
    return sum(len(huffman.encode(*symbols_of(part))) for part in parts)


def symbols_of(integers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return integers as symbols from 0 on, and the size of their alphabet.

    >>> symbols_of(np.array([-1, 2, 0]))
    (array([0, 3, 1], dtype=uint16), 4)
    """
    low = int(integers.min())
    alphabet = int(integers.max()) - low + 1
    assert alphabet <= 1 << 16, f"{alphabet} levels"
    return (integers - low).astype(np.uint16).ravel(), alphabet


def run_length(data: bytes) -> bytes:
    """Return PackBits: n < 128 and n + 1 bytes as they are, or n > 128 and a byte that stands 257 − n times."""
    out = np.empty(len(data) + len(data) // 128 + 2, np.uint8)
    return out[: _pack(np.frombuffer(data, np.uint8), out)].tobytes()


def run_length_inverse(data: bytes) -> bytes:
    """Invert `run_length`."""
    out, at = bytearray(), 0
    while at < len(data):
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + head + 2]
            at += head + 2
        else:
            out += data[at + 1 : at + 2] * (257 - head)
            at += 2
    return bytes(out)


def lzw(data: bytes) -> bytes:
    """Return LZW codes of as many bits as the dictionary needs at each, 8 to 16, lowest bit first.

    Source: Welch, "A technique for high-performance data compression" (1984).
    """
    if not data:
        return b""
    out = np.zeros(2 * len(data) + 8, np.uint8)
    return out[: _lzw(np.frombuffer(data, np.uint8), out)].tobytes()


def lzw_inverse(data: bytes, length: int) -> bytes:
    """Invert `lzw`, for ``length`` bytes."""
    out, at, last = bytearray(), 0, b""
    words = _letters()
    while len(out) < length:
        width = (len(words) if last else len(words) - 1).bit_length()
        code = int.from_bytes(data[at >> 3 : (at >> 3) + 4], "little") >> (at & 7) & ((1 << width) - 1)
        at += width
        if last:
            words.append(last + (words[code] if code < len(words) else last)[:1])
        last = words[code]
        out += last
        if len(words) == (1 << LZW_BITS) - 1:  # the encoder has just made the last word and forgotten all
            words, last = _letters(), b""
    return bytes(out)


def _letters() -> list[bytes]:
    return [bytes([i]) for i in range(256)]


@njit(cache=True)
def _run(data, at):  # type: ignore[no-untyped-def]
    """Return how often the byte at ``at`` stands there in a row, at most 128 times."""
    end = at + 1
    while end < len(data) and end - at < 128 and data[end] == data[at]:
        end += 1
    return end - at


@njit(cache=True)
def _pack(data, out):  # type: ignore[no-untyped-def]
    """Write PackBits to ``out``; return its length. Runs of three and more are worth a pair of bytes."""
    at, size = 0, 0
    while at < len(data):
        run = _run(data, at)
        if run >= 3:
            out[size], out[size + 1] = 257 - run, data[at]
            size, at = size + 2, at + run
            continue
        end = at
        while end < len(data) and end - at < 128 and _run(data, end) < 3:
            end += 1
        out[size] = end - at - 1
        out[size + 1 : size + 1 + end - at] = data[at:end]
        size, at = size + 1 + end - at, end
    return size


@njit(cache=True)
def _place(keys, key):  # type: ignore[no-untyped-def]
    """Return where ``key`` is in the hash table, or where it belongs."""
    place = (key * 40503 >> 4) & (len(keys) - 1)
    while keys[place] != -1 and keys[place] != key:
        place = (place + 1) & (len(keys) - 1)
    return place


@njit(cache=True)
def _put(out, at, code, width):  # type: ignore[no-untyped-def]
    """Write ``width`` bits at bit ``at``; return the next bit's place."""
    for bit in range(width):
        out[(at + bit) >> 3] |= ((code >> bit) & 1) << ((at + bit) & 7)
    return at + width


@njit(cache=True)
def _lzw(data, out):  # type: ignore[no-untyped-def]
    """Write the codes to ``out``; return their length in bytes."""
    keys, codes = np.full(1 << 18, -1, np.int64), np.empty(1 << 18, np.int64)
    known, width, at, code = 256, 8, 0, np.int64(data[0])
    for i in range(1, len(data)):
        key = code << 8 | np.int64(data[i])
        place = _place(keys, key)
        if keys[place] == key:
            code = codes[place]
            continue
        at = _put(out, at, code, width)
        keys[place], codes[place] = key, known
        known += 1
        width += (known - 1) >> width
        code = np.int64(data[i])
        if known == 1 << LZW_BITS:
            keys[:] = -1
            known, width = 256, 8
    return (_put(out, at, code, width) + 7) >> 3
