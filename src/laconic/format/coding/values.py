"""Numbers to bytes without loss: plain, or as byte planes, each coded as symbols of an alphabet of 256.

A float's bits are rotated left by one, so that its sign is the lowest bit and its exponent fills the first plane:
trained weights have few exponents, and that plane shrinks. (The observation behind ZipNN, Hershcovitch et al.,
arXiv:2411.05239.) The highest bits of the mantissa say a little more with the exponent than apart from it: a whole word
is one symbol, of which `encode_symbols` codes the high ten bits and packs the others, which is noise. Where rows of a
tensor differ, such as those of an embedding that were never trained, pieces with tables of their own are shorter than
the whole.
"""

import numpy as np

from laconic.compiled import COMPILED, compiled
from laconic.errors import FormatError
from laconic.format.coding.classes import Runs
from laconic.format.coding.dtypes import FLOATS, HALVES, dtype_of
from laconic.format.coding.symbols import decode_symbols, encode_symbols
from laconic.format.coding.varints import Cursor, varint

PIECE = 1 << 16
"""Values in a piece: enough that its tables are noise, few enough to follow what changes along a tensor."""

_WHOLE_FROM = 4096
"""Values from which the larger table of whole words may be worth it."""

_WHOLE_TYPES = ("float32", "bfloat16")
"""Types of eight bits of exponent, of which a block of symbols packs what is noise."""

_PLAIN, _PLANES, _PIECES, _WHOLE = range(4)


def encode_values(array: np.ndarray, runs: Runs | None = None) -> bytes:
    """Return the bit patterns of ``array`` (shape (count,)) as bytes: at most one more than they are, or a few.

    Args:
        array: the numbers.
        runs: of neighbours that may be alike, such as rows; no reader needs to know of them.

    >>> decode_values(encode_values(np.float32([-0.0, np.nan])), 2, "float32")
    array([-0., nan], dtype=float32)
    """
    if not len(array):
        return b""
    if array.dtype == np.bool_:
        return encode_symbols(array.astype(np.uint8), 2)
    if array.dtype.name in HALVES:
        return _chain([encode_values(array.real), encode_values(array.imag)])
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    words = np.ascontiguousarray(array).view(f"u{array.itemsize}")
    if array.dtype.name in FLOATS:
        words = words << words.dtype.type(1) | words >> words.dtype.type(8 * words.itemsize - 1)
    candidates = [_encode_planes(words, runs)]
    if len(words) > PIECE:
        candidates.append(_encode_pieces(words))
    if array.dtype.name in _WHOLE_TYPES and len(words) >= _WHOLE_FROM:
        candidates.append(bytes([_WHOLE]) + encode_symbols(words, 1 << 8 * words.itemsize, runs))
    shortest = min(candidates, key=len)
    if len(shortest) <= array.nbytes:
        return shortest
    return bytes([_PLAIN]) + array.view(f"u{array.itemsize}").astype(f"<u{array.itemsize}").tobytes()


def decode_values(data: bytes | memoryview, count: int, dtype: str, out: np.ndarray | None = None) -> np.ndarray:
    """Invert `encode_values`: return shape (count,) of ``dtype``, the same bit patterns.

    Args:
        data: the bytes.
        count: how many numbers they are.
        dtype: of these.
        out: what they are written to, contiguous, where it is not a new array.

    Raises:
        FormatError: when ``data`` is not what the encoder would have written.
    """
    found = np.empty(count, dtype_of(dtype)) if out is None else out
    if dtype == "bool":
        found[:] = decode_symbols(data, count, 2)
        return found
    if not count:
        if len(data):
            raise FormatError(f"{len(data)} bytes for no values")
        return found
    if dtype in HALVES:
        cursor = Cursor(data)
        found.real = decode_values(cursor.take(cursor.varint()), count, HALVES[dtype])
        found.imag = decode_values(cursor.rest(), count, HALVES[dtype])
        return found
    words = found.view(f"u{found.itemsize}")
    if bytes(data[:1]) == bytes([_WHOLE]) and dtype in _WHOLE_TYPES:
        turned = decode_symbols(data[1:], count, 1 << 8 * found.itemsize)
        turn = _turn if COMPILED else turn_vectors
        turn(turned, words.dtype.type(8 * words.itemsize - 1), words)
    else:
        _decode(Cursor(data), words, rotated=dtype in FLOATS, pieces=count > PIECE)
    return found


def turn_vectors(turned: np.ndarray, top: np.unsignedinteger, words: np.ndarray) -> None:
    """Fill ``words`` with ``turned``, rotated right by one; ``top`` is the number of the highest bit of a word."""
    words[:] = turned >> turned.dtype.type(1) | turned << top


@compiled
def _turn(turned, top, words):  # type: ignore[no-untyped-def]
    """Do what `turn_vectors` does, a word at a time."""
    for i in range(len(words)):
        word = turned[i]
        words[i] = word >> type(word)(1) | word << top


def _encode_planes(words: np.ndarray, runs: Runs | None = None) -> bytes:
    """Return the planes of unsigned integers, highest first, each but the last with its length."""
    planes = words.astype(f"<u{words.itemsize}").view(np.uint8).reshape(len(words), words.itemsize).T[::-1]
    return bytes([_PLANES]) + _chain([encode_symbols(plane, 256, runs) for plane in planes])


def _encode_pieces(words: np.ndarray) -> bytes:
    """Return the planes of each piece, each but the last with its length."""
    return bytes([_PIECES]) + _chain([_encode_planes(words[at : at + PIECE]) for at in range(0, len(words), PIECE)])


def _chain(pieces: list[bytes]) -> bytes:
    """Return ``pieces`` one after the other, before each but the last its length."""
    return b"".join(varint(len(piece)) + piece for piece in pieces[:-1]) + pieces[-1]


def _decode(cursor: Cursor, words: np.ndarray, *, rotated: bool, pieces: bool) -> None:
    """Fill ``words``, unsigned integers; ``pieces`` says whether there may be any."""
    method = cursor.unsigned(1)
    if method > _PIECES - (not pieces) or (method == _PLAIN and cursor.left != words.nbytes):
        raise FormatError(f"method {method} of coding {len(words)} values in {cursor.left} bytes")
    if method == _PLAIN:
        words[:] = np.frombuffer(cursor.rest(), words.dtype.newbyteorder("<"))
    elif method == _PLANES:
        _decode_planes(cursor, words, rotated)
    else:
        for at in range(0, len(words), PIECE):
            piece = cursor.take(cursor.varint()) if at + PIECE < len(words) else cursor.rest()
            _decode(Cursor(piece), words[at : at + PIECE], rotated=rotated, pieces=False)


def _decode_planes(cursor: Cursor, words: np.ndarray, rotated: bool) -> None:
    """Fill ``words`` from their planes."""
    count, width = len(words), words.itemsize
    planes = np.empty((width, count), np.uint8)
    for number in range(width):
        coded = cursor.take(cursor.varint()) if number < width - 1 else cursor.rest()
        planes[number] = decode_symbols(coded, count, 256)
    if COMPILED:
        _join(planes, words, np.uint64(8 * width - 1), rotated)
    else:
        join_vectors(planes, words, rotated)


def join_vectors(planes: np.ndarray, words: np.ndarray, rotated: bool) -> None:
    """Fill ``words`` from the bytes in ``planes``, highest first, without a compiler."""
    little: np.ndarray = words.astype(words.dtype.newbyteorder("<"))
    little.view(np.uint8).reshape(len(words), words.itemsize).T[::-1] = planes
    words[:] = little
    if rotated:
        words[:] = words >> words.dtype.type(1) | words << words.dtype.type(8 * words.itemsize - 1)


@compiled
def _join(planes, words, top, rotated):  # type: ignore[no-untyped-def]
    """Do what `join_vectors` does, a word at a time; ``top`` is the number of the highest bit of a word."""
    for i in range(len(words)):
        word = np.uint64(0)
        for number in range(len(planes)):
            word = word << np.uint64(8) | np.uint64(planes[number, i])
        words[i] = (word >> np.uint64(1)) | (word & np.uint64(1)) << top if rotated else word
