"""How codecs write what they have in common: numbers in float32, ternary digits, and places with their values."""

import math
from typing import Literal, get_args

import numpy as np

from laconic.errors import FormatError, PlanError
from laconic.format.coding.packing import pack_bits, unpack_bits
from laconic.format.coding.symbols import decode_symbols, encode_symbols
from laconic.format.coding.varints import Cursor, varint

Form = Literal["2 bits", "base 3", "entropy"]
"""How ternary digits lie: four in a byte, five in a byte, or by laconic's own entropy coder."""

FORMS: tuple[Form, ...] = get_args(Form)

_POWERS = 3 ** np.arange(5)
_FLOAT = np.dtype("<f4")


def require_form(form: str) -> None:
    """Raise `PlanError` unless ``form`` is one of `FORMS`."""
    if form not in FORMS:
        raise PlanError(f"ternary digits are written as {', '.join(FORMS)}, not {form!r}")


def float_bytes(values: np.ndarray | np.floating) -> bytes:
    """Return numbers, or one, as float32, lowest byte first."""
    return values.astype(_FLOAT).tobytes()


def read_floats(cursor: Cursor, count: int) -> np.ndarray:
    """Return the next ``count`` numbers, which are finite.

    Raises:
        FormatError: for fewer, and for NaN and infinities.
    """
    values = np.frombuffer(cursor.take(4 * count), _FLOAT).astype(np.float32)
    if not np.isfinite(values).all():
        raise FormatError("a message has a number that is not finite")
    return values


def ternary_bytes(digits: np.ndarray, form: Form) -> bytes:
    """Return digits 0, 1, 2, shape (count,) uint8, as bytes.

    >>> [len(ternary_bytes(np.uint8([0, 1, 2] * 40), form)) for form in FORMS[:2]]
    [30, 24]
    """
    if form == "2 bits":
        return pack_bits(digits, 2)
    if form == "entropy":
        return encode_symbols(digits, 3)
    padded = np.zeros(5 * math.ceil(len(digits) / 5), np.int64)
    padded[: len(digits)] = digits
    return (padded.reshape(-1, 5) @ _POWERS).astype(np.uint8).tobytes()


def read_ternary(data: bytes | memoryview, count: int, form: Form) -> np.ndarray:
    """Invert `ternary_bytes`.

    Raises:
        FormatError: for bytes that are no such digits.
    """
    if form == "entropy":
        return decode_symbols(data, count, 3)
    if form == "2 bits":
        digits = unpack_bits(data, count, 2, np.dtype(np.uint8))
    else:
        fives = np.frombuffer(data, np.uint8)
        if len(fives) != math.ceil(count / 5) or (len(fives) and fives.max() >= 243):
            raise FormatError(f"{count} ternary digits are {math.ceil(count / 5)} bytes below 243, not {len(fives)}")
        digits = (fives[:, None] // _POWERS % 3).astype(np.uint8).reshape(-1)
        if digits[count:].any():
            raise FormatError("ternary digits are not filled up with zeros")
        digits = digits[:count]
    if count and digits.max() > 2:
        raise FormatError("a ternary digit is 0, 1 or 2, not 3")
    return digits


def symbols_bytes(symbols: np.ndarray, alphabet: int) -> bytes:
    """Return symbols below ``alphabet`` behind their length, so that more can follow."""
    data = encode_symbols(symbols, alphabet)
    return varint(len(data)) + data


def read_symbols(cursor: Cursor, count: int, alphabet: int) -> np.ndarray:
    """Invert `symbols_bytes`."""
    return decode_symbols(cursor.take(cursor.varint()), count, alphabet)


def sparse_bytes(places: np.ndarray, values: np.ndarray) -> bytes:
    """Return values at some places: the gaps between these through the entropy coder, then float32.

    Args:
        places: shape (count,), ascending, each once.
        values: shape (count,).
    """
    gaps = np.diff(places, prepend=-1) - 1
    alphabet = int(gaps.max(initial=0)) + 1
    return varint(len(places)) + varint(alphabet) + symbols_bytes(gaps, alphabet) + float_bytes(values)


def read_sparse(cursor: Cursor, size: int) -> np.ndarray:
    """Return the vector of ``size`` numbers that `sparse_bytes` has written the places of, float32, elsewhere 0.

    Raises:
        FormatError: for places outside.
    """
    count, alphabet = cursor.varint(), cursor.varint()
    if count > size or alphabet > size + 1:
        raise FormatError(f"{count} places with gaps below {alphabet} in a vector of {size}")
    places = np.cumsum(read_symbols(cursor, count, alphabet).astype(np.int64) + 1) - 1
    if count and places[-1] >= size:
        raise FormatError(f"place {places[-1]} of a vector of {size}")
    whole = np.zeros(size, np.float32)
    whole[places] = read_floats(cursor, count)
    return whole


def finish(cursor: Cursor) -> None:
    """Raise `FormatError` where bytes are left."""
    if cursor.left:
        raise cursor.fail(f"{cursor.left} bytes too many")
