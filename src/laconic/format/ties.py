"""Tensors that are the same bytes: files of weights that were tied hold them once for each name."""

import zlib
from collections.abc import Callable, Hashable, Mapping

import numpy as np


def alike(
    tensors: Mapping[str, np.ndarray],
    group: Callable[[str], Hashable] = lambda name: None,
    marks: Mapping[str, bytes] | None = None,
) -> dict[str, str]:
    """Return the names of tensors that are a tensor before them, bit by bit, with the first name of each.

    Dtype and shape are equal too; tensors without elements, of which nothing is stored, are left out. Candidates are
    found by checksum and then compared: one tensor is in memory at a time, or two that are compared.

    Args:
        tensors: by name; may be a mapping that reads a tensor when it is asked for.
        group: (name) → what tensors must have in common, beside their bytes, to count as one.
        marks: of each tensor what `mark` returns, where that is known: then candidates alone are read.

    >>> alike({"a": np.float32([1, 2]), "b": np.float32([1, 3]), "c": np.float32([1, 2])})
    {'c': 'a'}
    """
    firsts: dict[Hashable, list[str]] = {}
    ties: dict[str, str] = {}
    for name in tensors:
        own = mark(tensors[name]) if marks is None else marks[name]
        if not own:
            continue
        candidates = firsts.setdefault((own, group(name)), [])
        first = next((other for other in candidates if same(tensors[name], tensors[other])), None)
        if first is None:
            candidates.append(name)
        else:
            ties[name] = first
    return ties


def mark(array: np.ndarray) -> bytes:
    """Return what equal tensors have in common, and few others: dtype, shape and checksum; nothing without elements."""
    if not array.size:
        return b""
    return f"{array.dtype.name} {array.shape} {zlib.crc32(_bytes(array).data)}".encode()


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether two tensors are the same bit by bit, dtype and shape included."""
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(_bytes(a), _bytes(b))


def _bytes(array: np.ndarray) -> np.ndarray:
    """Return the bytes of ``array``, row by row."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
