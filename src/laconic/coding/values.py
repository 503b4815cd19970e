"""Numbers to bytes without loss: plain, or as byte planes, each coded as symbols of an alphabet of 256.

A float's bits are rotated left by one, so that its sign is the lowest bit and its exponent fills the first plane:
trained weights have few exponents, and that plane shrinks. (The observation behind ZipNN, Hershcovitch et al.,
arXiv:2411.05239.)
"""

import ml_dtypes  # noqa: F401  registers bfloat16 and the 8-bit floats with NumPy
import numpy as np

from laconic.coding.symbols import decode_symbols, encode_symbols
from laconic.coding.varints import Cursor, varint
from laconic.errors import FormatError

FLOATS = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
"""The floating element types; all others are bool and NumPy's integers of 8 to 64 bits."""

_PLAIN, _PLANES = range(2)


def encode_values(array: np.ndarray) -> bytes:
    """Return the bit patterns of ``array`` (shape (count,)) as bytes, longer than they are by one byte at most.

    >>> decode_values(encode_values(np.float32([-0.0, np.nan])), 2, "float32")
    array([-0., nan], dtype=float32)
    """
    if not len(array):
        return b""
    if array.dtype == np.bool_:
        return encode_symbols(array.astype(np.uint8), 2)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    words = np.ascontiguousarray(array).view(f"u{array.itemsize}").astype(f"<u{array.itemsize}")
    planes = _encode_planes(words, array.dtype.name in FLOATS)
    return bytes([_PLANES]) + planes if len(planes) < array.nbytes else bytes([_PLAIN]) + words.tobytes()


def decode_values(data: bytes | memoryview, count: int, dtype: str) -> np.ndarray:
    """Invert `encode_values`: return shape (count,) of ``dtype``, the same bit patterns.

    Raises:
        FormatError: when ``data`` is not what the encoder would have written.
    """
    if dtype == "bool":
        return decode_symbols(data, count, 2).view(np.bool_)
    kind = np.dtype(dtype)
    if not count:
        if len(data):
            raise FormatError(f"{len(data)} bytes for no values")
        return np.empty(0, kind)
    cursor = Cursor(data)
    method = cursor.unsigned(1)
    if method > _PLANES or (method == _PLAIN and cursor.left != count * kind.itemsize):
        raise FormatError(f"method {method} of coding {count} values of {dtype} in {cursor.left} bytes")
    if method == _PLAIN:
        words = np.frombuffer(cursor.rest(), f"<u{kind.itemsize}")
    else:
        words = _decode_planes(cursor, count, kind.itemsize, dtype in FLOATS)
    return words.astype(f"u{kind.itemsize}").view(kind)


def _encode_planes(words: np.ndarray, rotate: bool) -> bytes:
    """Return the planes of little-endian unsigned integers, highest first, each but the last with its length."""
    if rotate:
        bits = words.dtype.type(8 * words.itemsize - 1)
        words = words << words.dtype.type(1) | words >> bits
    planes = words.view(np.uint8).reshape(len(words), words.itemsize).T[::-1]
    coded = [encode_symbols(plane, 256) for plane in planes]
    return b"".join(varint(len(plane)) + plane for plane in coded[:-1]) + coded[-1]


def _decode_planes(cursor: Cursor, count: int, width: int, rotated: bool) -> np.ndarray:
    """Invert `_encode_planes`: return ``count`` unsigned integers of ``width`` bytes."""
    words: np.ndarray = np.zeros(count, f"<u{width}")
    for plane in range(width - 1, -1, -1):
        coded = cursor.take(cursor.varint()) if plane else cursor.rest()
        words |= decode_symbols(coded, count, 256).astype(words.dtype) << words.dtype.type(8 * plane)
    if rotated:
        bits = words.dtype.type(8 * width - 1)
        words = words >> words.dtype.type(1) | words << bits
    return words
