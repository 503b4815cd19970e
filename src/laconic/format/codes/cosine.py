"""The orthonormal cosine transform of kernels, to the same bits everywhere.

Neighbouring weights of a convolution kernel are alike; in the basis of cosines over the kernel's axes few coefficients
hold most of them. The basis is a table of integers over 2³⁰, so that no library's cosine is part of the format, and
the sums are in float64 in the order of the frequency, each product and each sum rounded.
"""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np

LONGEST = 32
"""No axis that is transformed is longer."""

_PART = 1 << 20  # numbers


@cache
def basis(length: int) -> np.ndarray:
    """Return the orthonormal DCT-II basis, float64, shape (length, length): row k is the cosine of frequency k.

    B[k, x] = round(2³⁰ √((1 + [k > 0]) / n) cos(π (2x + 1) k / 2n)) / 2³⁰.

    >>> bool(np.allclose(basis(3) @ basis(3).T, np.eye(3), atol=1e-8))
    True
    """
    rows = [
        [
            round(2**30 * math.sqrt((1 + (k > 0)) / length) * math.cos(math.pi * (2 * x + 1) * k / (2 * length)))
            for x in range(length)
        ]
        for k in range(length)
    ]
    return np.array(rows, np.float64).reshape(length, length) / 2**30


def transformable(shape: tuple[int, ...]) -> bool:
    """Say whether a tensor of ``shape`` has kernels to transform: axes after the first two, none longer than 32."""
    return len(shape) > 2 and all(length <= LONGEST for length in shape[2:]) and math.prod(shape[2:]) > 1


def parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Give stretches of axis 0 that are worked on at a time: the sums take several times their memory."""
    rows = max(_PART // max(math.prod(shape[1:]), 1), 1)
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def forward(kernels: np.ndarray) -> np.ndarray:
    """Return the coefficients of ``kernels`` (shape (out, in, axes …)) in float64."""
    out = np.empty(kernels.shape)
    for some in parts(kernels.shape):
        coefficients = kernels[some].astype(np.float64)
        for axis in range(2, kernels.ndim):
            coefficients = np.moveaxis(np.tensordot(coefficients, basis(kernels.shape[axis]), (axis, 1)), -1, axis)
        out[some] = coefficients
    return out


def inverse(coefficients: np.ndarray) -> np.ndarray:
    """Return the kernels of ``coefficients`` (shape (out, in, axes …), float64): axis 2 first, then 3, ….

    >>> kernels = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> bool(np.allclose(inverse(forward(kernels)), kernels))
    True
    """
    axes = coefficients.shape[2:]
    transformed = np.ascontiguousarray(np.moveaxis(coefficients, (0, 1), (-2, -1))).reshape(*axes, -1)
    for axis, length in enumerate(axes):
        rows = np.moveaxis(transformed, axis, 0)
        transformed = np.moveaxis(_inverse(rows, length), 0, axis)
    return np.ascontiguousarray(np.moveaxis(transformed.reshape(*axes, *coefficients.shape[:2]), (-2, -1), (0, 1)))


def _inverse(rows: np.ndarray, length: int) -> np.ndarray:
    """Return Σ_k B[k, x] rows[k] for each x, k from 0 on, from +0."""
    sums = np.zeros_like(rows)
    term = np.empty_like(rows[0]) if length else rows
    for x in range(length):
        for k in range(length):
            np.multiply(rows[k], basis(length)[k, x], out=term)
            sums[x] += term
    return sums
