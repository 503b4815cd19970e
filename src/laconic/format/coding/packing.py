"""Bit packing: fixed-width integers one after the other, lowest bit first."""

import numpy as np

from laconic.compiled import COMPILED, compiled
from laconic.errors import FormatError


def frozen(array: np.ndarray) -> np.ndarray:
    """Return a contiguous read-only view of ``array``: kernels then compile for one kind of array only."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def packed_size(count: int, width: int) -> int:
    """Return the number of bytes of ``count`` integers of ``width`` bits."""
    return (count * width + 7) // 8


def pack_bits(symbols: np.ndarray, width: int) -> bytes:
    """Return the lowest ``width`` (0 to 32) bits of each symbol, packed; the last byte is filled up with zeros."""
    if width == 8 * symbols.dtype.itemsize:
        return symbols.astype(symbols.dtype.newbyteorder("<")).tobytes()
    out = np.zeros(packed_size(len(symbols), width), np.uint8)
    if width:
        _pack(frozen(symbols), np.uint64(width), out)
    return out.tobytes()


def unpack_bits(
    data: bytes | memoryview, count: int, width: int, dtype: np.dtype, above: np.ndarray | None = None
) -> np.ndarray:
    """Invert `pack_bits`.

    Args:
        data: the packed numbers.
        count: how many they are.
        width: bits of each.
        dtype: of what is returned.
        above: the bits above these, shape (count,), where the packed ones are the low bits of wider numbers.

    Raises:
        FormatError: when ``data`` is not exactly as long as it must be, or is filled up with ones.
    """
    if len(data) != packed_size(count, width):
        raise FormatError(f"{count} numbers of {width} bits take {packed_size(count, width)} bytes, not {len(data)}")
    spare = 8 * len(data) - count * width
    if spare and data[-1] >> (8 - spare):
        raise FormatError("packed numbers are not filled up with zeros")
    if above is None and width in (8, 16, 32) and width == 8 * dtype.itemsize:
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
    out = np.zeros(count, dtype) if above is None else np.left_shift(above, dtype.type(width), dtype=dtype)
    if width and count:
        unpack = _unpack if COMPILED else unpack_vectors
        unpack(frozen(np.frombuffer(data, np.uint8)), np.uint64(width), out)
    return out


def unpack_vectors(data: np.ndarray, width: np.uint64, out: np.ndarray) -> None:
    """Put into ``out``, whose bits are zero there, the numbers of ``data``, of enough bytes: one NumPy call a bit."""
    bits = np.unpackbits(data, count=len(out) * int(width), bitorder="little").reshape(len(out), int(width))
    for place in range(int(width)):
        out |= bits[:, place].astype(out.dtype) << out.dtype.type(place)


@compiled
def _pack(symbols, width, out):  # type: ignore[no-untyped-def]
    """Write the symbols' low bits to ``out``, of exactly the right size."""
    mask = (np.uint64(1) << width) - np.uint64(1)
    pending = held = np.uint64(0)
    at = np.uint64(0)
    for i in range(len(symbols)):
        pending |= (np.uint64(symbols[i]) & mask) << held
        held += width
        while held >= np.uint64(8):
            out[at] = pending & np.uint64(255)
            at += np.uint64(1)
            pending >>= np.uint64(8)
            held -= np.uint64(8)
    if held:
        out[at] = pending


@compiled
def _unpack(data, width, out):  # type: ignore[no-untyped-def]
    """Do what `unpack_vectors` does, eight numbers at a time where these are a word at most."""
    mask, byte = (np.uint64(1) << width) - np.uint64(1), np.uint64(8)
    whole = len(out) // 8 if width <= byte else 0
    at = np.uint64(0)
    for group in range(whole):
        word = np.uint64(0)
        for number in range(width):
            word |= np.uint64(data[at + number]) << byte * number
        at += width
        for number in range(8):
            out[8 * group + number] |= word >> width * np.uint64(number) & mask
    pending = held = np.uint64(0)
    for i in range(8 * whole, len(out)):
        while held < width:
            pending |= np.uint64(data[at]) << held
            at += np.uint64(1)
            held += byte
        out[i] |= pending & mask
        pending >>= width
        held -= width
