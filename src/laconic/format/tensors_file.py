"""A safetensors file written one tensor at a time: its header needs dtypes and shapes, not the tensors.

Byte by byte what the library writes of the same tensors and metadata, but for the order of the metadata, which is that
of the keys (`laconic.format.files.same_every_time`).
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from laconic.errors import WeightsError

_TAGS = {
    "uint64": "U64", "int64": "I64", "float64": "F64", "complex64": "C64", "float32": "F32", "uint32": "U32",
    "int32": "I32", "bfloat16": "BF16", "float16": "F16", "uint16": "U16", "int16": "I16",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""The format's names of dtypes, in the order in which tensors of these types lie in the file."""

Outline = Mapping[str, tuple[str, tuple[int, ...]]]
"""Dtype and shape of each tensor by its name."""


def order(tensors: Outline) -> list[str]:
    """Return the names in the order of the file: by dtype, the wide ones first, then by name.

    Raises:
        WeightsError: for a type that the format has no name of.
    """
    strange = next((name for name, (dtype, _) in tensors.items() if dtype not in _TAGS), None)
    if strange is not None:
        raise WeightsError(f"{strange} is {tensors[strange][0]}, which safetensors cannot hold; laconic.load gives it")
    ranks = {dtype: rank for rank, dtype in enumerate(_TAGS)}
    return sorted(tensors, key=lambda name: (ranks[tensors[name][0]], name.encode()))


def header(tensors: Outline, metadata: Mapping[str, str]) -> bytes:
    """Return all that comes before the tensors.

    >>> header({"w": ("float32", (2,))}, {})[8:]
    b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} '
    """
    entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offset = 0
    for name in order(tensors):
        dtype, shape = tensors[name]
        end = offset + bytes_of(tensors[name])
        entries[name] = {"dtype": _TAGS[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def write(
    file: BinaryIO,
    tensors: Outline,
    metadata: Mapping[str, str],
    arrays: Callable[[list[str]], Iterable[np.ndarray]],
) -> Iterator[str]:
    """Write the file, and give the name of each tensor that has been written.

    Args:
        file: open for writing.
        tensors: dtype and shape of each.
        metadata: text beside them.
        arrays: function: names → the tensors, one by one.
    """
    names = order(tensors)
    file.write(header(tensors, metadata))
    ready = iter(arrays(names))
    for name in names:  # not zip, which would keep a tensor while the next one is made
        file.write(_bytes(next(ready), tensors[name]))
        yield name


def bytes_of(entry: tuple[str, tuple[int, ...]]) -> int:
    """Return the bytes of a tensor of this dtype and shape."""
    return math.prod(entry[1]) * _width(entry[0])


def _bytes(array: np.ndarray, expected: tuple[str, tuple[int, ...]]) -> memoryview:
    """Return the little-endian bytes of ``array``, whose dtype and shape are as ``expected``."""
    assert (array.dtype.name, array.shape) == expected, f"{array.dtype} {array.shape}, not {expected}"
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def _width(dtype: str) -> int:
    """Return the bytes of an element."""
    tag = _TAGS[dtype]
    return 1 if tag == "BOOL" or "8" in tag[1:2] else int(tag.lstrip("UIBFC")) // 8
