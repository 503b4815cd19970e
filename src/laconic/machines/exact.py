"""A gradient bit by bit, in as few bytes as its numbers allow: what a server gives back.

A mean over N workers whose messages are on a grid has few values (of ternary ones about 2N + 1), one of sparse messages
is sparse. Of three ways the shortest is taken: each distinct number once with an index for each place, the places that
are not 0 with their numbers, or all numbers as they are. −0 is 0.

Source of the count: Wen et al., "TernGrad" (NIPS 2017), section 3: log₂(2N + 1) bits for what is pulled.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import FormatError
from laconic.format.coding.varints import Cursor, varint
from laconic.machines.codec import GradientCodec, flat, shaped
from laconic.machines.wire import (
    finish,
    float_bytes,
    read_floats,
    read_sparse,
    read_symbols,
    sparse_bytes,
    symbols_bytes,
)

_FEW = 1024
"""Distinct numbers that are worth a table: what the entropy coder takes without splitting symbols."""

_TABLE, _SPARSE, _DENSE = range(3)


@final
@dataclass(frozen=True)
class Exact(GradientCodec):
    """Every bit of a gradient in float32.

    >>> codec = Exact()
    >>> message = codec.encode(torch.tensor([0.5, 0.0, -0.5] * 100), torch.Generator())
    >>> codec.decode(message, (300,))[:3], len(message) < 100
    (tensor([ 0.5000,  0.0000, -0.5000]), True)
    """

    def share(self, gradient: Tensor) -> None:
        """Return nothing: every number is kept."""
        return None

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the shortest of the three."""
        g = flat(gradient) + np.float32(0)
        ways = [bytes([_DENSE]) + float_bytes(g)]
        places = np.flatnonzero(g)
        if len(places) < len(g):
            ways.append(bytes([_SPARSE]) + sparse_bytes(places, g[places]))
        sample = np.unique(g[:: max(1, len(g) // (8 * _FEW))])  # most gradients of many values are told by a few
        if len(sample) <= _FEW:
            numbers, indices = np.unique(g, return_inverse=True)
            if len(numbers) <= _FEW:
                table = varint(len(numbers)) + float_bytes(numbers) + symbols_bytes(indices, len(numbers))
                ways.append(bytes([_TABLE]) + table)
        return min(ways, key=len)

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return the numbers."""
        count, cursor = math.prod(shape), Cursor(data)
        way = cursor.unsigned(1)
        if way == _DENSE:
            values = read_floats(cursor, count)
        elif way == _SPARSE:
            values = read_sparse(cursor, count)
        elif way == _TABLE:
            entries = cursor.varint()
            if entries > _FEW:
                raise FormatError(f"a table of {entries} numbers, at most {_FEW}")
            numbers = read_floats(cursor, entries)
            values = numbers[read_symbols(cursor, count, entries)]
        else:
            raise FormatError(f"unknown way {way} of writing a gradient")
        finish(cursor)
        return shaped(values, shape)
