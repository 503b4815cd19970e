"""What is run of a tensor: products of certain shapes, one after the other, whose time can be predicted."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.format.codes import CanonicalCode, Code, LowRankCode, SparseCode, SumCode, TileSparseCode, TuckerCode
from laconic.format.codes.counting import ideal_bits
from laconic.models.uses import Use

PRODUCTS = ("dense", "convolution", "grouped")
"""Kinds of layers that multiply with a weight."""

OTHERS = ("elementwise", "normalization", "pooling")
"""Kinds that do not: they read and write so many numbers."""

FLOAT = 4
"""Bytes of a number that a network computes with."""


@final
@dataclass(frozen=True)
class Layer:
    """A product, or another operation, by its shape.

    Args:
        kind: of `PRODUCTS` or `OTHERS`; "grouped" is a convolution of several groups, a depthwise one too.
        outputs: rows of the weight, channels that are written; of what is no product, numbers written at a position.
        inputs: channels that are read, those of all groups; of what is no product, numbers read at a position.
        kernel: height and width of a convolution; () for a dense layer.
        groups: of a convolution.
        positions: how often the matrix is applied to one input.
        calls: in how many operations; a recurrent weight is applied at one position in each.
        weight_bytes: of the weight where it lies; float32 unless told.
    """

    kind: str
    outputs: int
    inputs: int
    kernel: tuple[int, ...] = ()
    groups: int = 1
    positions: int = 1
    calls: int = 1
    weight_bytes: float | None = None

    @property
    def columns(self) -> int:
        """Numbers that go into one output."""
        return self.inputs // self.groups * math.prod(self.kernel)

    @property
    def multiply_adds(self) -> int:
        """Of one input; 0 of what is no product."""
        return self.outputs * self.columns * self.positions if self.kind in PRODUCTS else 0

    @property
    def stored(self) -> float:
        """Bytes of the weight."""
        numbers = self.outputs * self.columns if self.kind in PRODUCTS else 0
        return FLOAT * numbers if self.weight_bytes is None else self.weight_bytes

    @property
    def activations(self) -> int:
        """Bytes that are read and written for one input; of a convolution as if it read as many places as it writes."""
        return FLOAT * self.positions * (self.inputs + self.outputs)


def layers_of(code: Code, use: Use, *, as_stored: bool = False) -> list[Layer]:
    """Return what runs for a tensor as its code stands; nothing for what is multiplied with no input.

    Factors run one after the other: of a product of rank r of a convolution its kernel to r channels and then a 1 × 1
    convolution, or along the two axes of the kernel; of a Tucker product three, of a canonical one four. The terms of a
    sum each run. What is pruned runs without the rows and input channels of which nothing is left, as a network that
    is made smaller does; single zeros are multiplied. All other codes run as dense weights, and so do factors of a
    convolution of several groups, and what is pruned of one that is not depthwise.

    Args:
        code: of the tensor.
        use: how it is used.
        as_stored: whether the weight lies in memory in the bits of its code; else in float32.
    """
    if not use.positions or len(code.shape) < 2 or not code.size:
        return []
    found = [layer for layer in _run(code, use, as_stored) if layer.outputs and layer.inputs]
    return [replace(layer, weight_bytes=layer.weight_bytes if as_stored else None) for layer in found]


def _run(code: Code, use: Use, as_stored: bool) -> Iterator[Layer]:
    """Give the layers; bytes are counted where they are asked for."""
    if isinstance(code, SumCode):
        for term in code.terms:
            yield from _run(term, use, as_stored)
        return
    shape, bits = code.shape, _counter(as_stored)
    if use.groups > 1:
        yield _grouped(code, use, bits(code))
    elif isinstance(code, LowRankCode):
        first, second = _halves(code)
        yield _shaped((code.rank, *first), use, bits(code.right))
        yield _shaped((shape[0], code.rank, *second), use, bits(code.left))
    elif isinstance(code, TuckerCode):
        a, b, *kernel = code.core.shape
        yield _shaped((b, shape[1], *(1 for _ in kernel)), use, bits(code.right))
        yield _shaped((a, b, *kernel), use, bits(code.core))
        yield _shaped((shape[0], a, *(1 for _ in kernel)), use, bits(code.left))
    elif isinstance(code, CanonicalCode):
        yield from _canonical(code, use, bits(code.factors))
    else:
        yield _shaped(_left(code), use, bits(code))


def _grouped(code: Code, use: Use, stored: float) -> Layer:
    """Return the layer of a convolution of several groups; a depthwise one has a group for each row that is left."""
    if code.shape[1] != 1 or code.shape[0] != use.groups:
        return _shaped(code.shape, use, stored)
    rows = _left(code)[0]
    layer = _shaped((rows, 1, *code.shape[2:]), replace(use, groups=max(1, rows)), stored)
    return replace(layer, kind="grouped")


def _counter(as_stored: bool) -> Callable[[Code], float]:
    """Return the function that counts the bytes of a code, or 0 where nobody asks."""
    return (lambda code: ideal_bits(code) / 8) if as_stored else (lambda code: 0.0)


def _shaped(shape: tuple[int, ...], use: Use, stored: float) -> Layer:
    """Return the layer of a tensor of ``shape``: (outputs, inputs of a group, *kernel)."""
    kernel, grouped = shape[2:], use.groups > 1
    kind = "grouped" if grouped else "convolution" if kernel else "dense"
    return Layer(kind, shape[0], shape[1] * use.groups, kernel, use.groups, use.positions, use.calls, stored)


def _halves(code: LowRankCode) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return (inputs, *kernel) of the right factor, and the kernel of the left one."""
    inputs, *kernel = code.shape[1:]
    if code.view == "out|in.kh.kw" or len(kernel) != 2:
        return (inputs, *kernel), tuple(1 for _ in kernel)
    high, wide = kernel
    return ((inputs, 1, wide), (high, 1)) if code.view == "out.kh|in.kw" else ((inputs, high, 1), (1, wide))


def _canonical(code: CanonicalCode, use: Use, stored: float) -> Iterator[Layer]:
    """Give the layers of a sum of outer products: all inputs to its terms, each axis of the kernel, all outputs."""
    terms, (outputs, inputs, *kernel) = code.factors.shape[1], code.shape
    share = stored / max(1, sum(code.shape))
    ones = tuple(1 for _ in kernel)
    yield _shaped((terms, inputs, *ones), use, share * inputs)
    for axis, size in enumerate(kernel):
        along = tuple(size if other == axis else 1 for other in range(len(kernel)))
        yield _shaped((terms, 1, *along), replace(use, groups=terms), share * size)
    yield _shaped((outputs, terms, *ones), use, share * outputs)


def _left(code: Code) -> tuple[int, ...]:
    """Return the shape of what is left of a tensor: without rows and input channels that are all 0."""
    if not isinstance(code, SparseCode | TileSparseCode):
        return code.shape
    rows, inputs = code.shape[:2]
    there: np.ndarray = np.any(code.decompress().reshape(rows, inputs, -1), axis=2)
    return int(there.any(axis=1).sum()), int(there.any(axis=0).sum()), *code.shape[2:]
