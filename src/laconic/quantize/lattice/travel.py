"""What is known of a tensor on the rank that has it, as bytes for the others: all but what is of the tensor's size.

Numbers arrive bit by bit, so that whatever is summed up of them in the order of the tensors is the same on all ranks.
"""

import io
from dataclasses import replace

import numpy as np

from laconic.format.codes import Code, SumCode
from laconic.format.codes.grid import GridCode
from laconic.format.codes.streams import Values
from laconic.format.coding.packing import frozen
from laconic.format.container.records import encode_blocks, measured
from laconic.quantize.lattice.assigned import OFFSETS, Assigned
from laconic.quantize.lattice.source import Source


def arrays_bytes(*arrays: np.ndarray) -> bytes:
    """Return arrays one after the other as NumPy's own files.

    >>> read_arrays(arrays_bytes(np.arange(2), np.zeros(0)))
    [array([0, 1]), array([], dtype=float64)]
    """
    file = io.BytesIO()
    for array in arrays:
        np.save(file, array, allow_pickle=False)
    return file.getvalue()


def read_arrays(data: bytes) -> list[np.ndarray]:
    """Invert `arrays_bytes`."""
    file, arrays = io.BytesIO(data), list[np.ndarray]()
    while file.tell() < len(data):
        arrays.append(np.load(file, allow_pickle=False))
    return arrays


def source_bytes(source: Source) -> bytes:
    """Return what is known of a tensor whose weights count alike."""
    assert not len(source.importances), "importances stay with their tensor"
    words = np.frombuffer(f"{source.dtype} {source.transform} {source.mode}".encode(), np.uint8)
    return arrays_bytes(words, np.array(source.shape, np.int64), source.row_scales, source.deficits)


def read_source(name: str, data: bytes) -> Source:
    """Invert `source_bytes`; its values are on another rank."""
    words, shape, rows, deficits = read_arrays(data)
    dtype, transform, mode = words.tobytes().decode().split()
    sizes = tuple(map(int, shape))
    return Source(name, sizes, dtype, transform, int(mode), _not_here, np.zeros(0), rows, deficits)


def _not_here() -> np.ndarray:
    """Stand for values that no pass over the weights may ask for on this rank."""
    raise AssertionError("the values are on another rank")


def piece_bytes(piece: tuple[np.ndarray, np.ndarray, np.ndarray]) -> bytes:
    """Return values, importances and classes of some weights."""
    return arrays_bytes(*piece)


def read_piece(_: object, data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Invert `piece_bytes`."""
    values, weights, classes = read_arrays(data)
    return frozen(values), frozen(weights), frozen(classes)


def assigned_bytes(one: Assigned) -> bytes:
    """Return the statistics of integers, of whose counts few are not 0."""
    places = np.flatnonzero(one.counts)
    counts = places, one.counts.reshape(-1)[places], np.array(one.counts.shape)
    return arrays_bytes(np.array([one.levels.size]), *counts, one.moments, one.plain)


def read_assigned(_: object, data: bytes) -> Assigned:
    """Invert `assigned_bytes`; the integers are on another rank."""
    size, places, many, shape, moments, plain = read_arrays(data)
    counts = np.zeros(tuple(shape), np.int64)
    counts.reshape(-1)[places] = many
    assert moments.shape == (OFFSETS + 1, 6), "moments are a row for each |v|"
    return Assigned(np.broadcast_to(np.int8(0), (int(size[0]),)), counts, moments, plain)


def code_bytes(code: GridCode) -> bytes:
    """Return how many bytes a payload has, and length and CRC-32 of its blocks in the file."""
    return arrays_bytes(np.array([len(code.payload)]), np.array(measured(encode_blocks(code.payload)), np.int64))


def read_code(frame: GridCode, data: bytes) -> GridCode:
    """Return a code that counts as the one whose `code_bytes` these are; its payload is on another rank."""
    size, blocks = read_arrays(data)
    known = tuple((int(length), int(crc)) for length, crc in blocks.reshape(-1, 2))
    return replace(frame, payload=Values(np.broadcast_to(np.uint8(0), (int(size[0]),)), known))


def has_payload(code: Code) -> bool:
    """Say whether there is a grid in a code."""
    return any(map(has_payload, code.terms)) if isinstance(code, SumCode) else isinstance(code, GridCode)


def payload_bytes(code: Code) -> bytes:
    """Return the payload of the grid in a code, which is here."""
    if isinstance(code, SumCode):
        return b"".join(map(payload_bytes, code.terms))
    return code.payload.array.tobytes() if isinstance(code, GridCode) else b""


def with_payload(code: Code, data: bytes) -> Code:
    """Return a code that has these bytes for the payload of its grid, be it itself or a term of a sum."""
    if isinstance(code, SumCode):
        return replace(code, terms=tuple(with_payload(term, data) for term in code.terms))
    return replace(code, payload=Values(np.frombuffer(data, np.uint8))) if isinstance(code, GridCode) else code
