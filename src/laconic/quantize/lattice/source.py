"""A tensor as it is quantized: what its numbers are, and how large they are in rows, columns and positions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.cosine import forward, parts, transformable
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS, folded, symbol_counts

PER_OCTAVE = 3
"""Classes of scale in each factor of 2."""

LOWEST = -40.0
"""Logarithms of scales, relative to the tensor's, end here: zeros are small enough."""

_NOTHING = -1e4  # the logarithm of the scale of a tensor of zeros
_SYMBOL_BITS = 2.5  # what a scale symbol costs, about
_ROUNDS = 6


@final
@dataclass(frozen=True, eq=False)
class Source:
    """One tensor to be quantized.

    Args:
        name: of the tensor.
        shape: of the tensor.
        dtype: its element type, a float.
        transform: of `laconic.format.codes.grid.TRANSFORMS`.
        mode: which axes have scales.
        load: gives what is quantized, row-major, float32 or float64, shape (size,): kept, or made anew each time.
        importances: h, shape (size,), float32 or float64, or (0,) for 1 throughout.
        row_scales: log₂ of the standard deviation in each row (or of all) where it is largest, shape (rows,) or (1,).
        deficits: how much less it is in each column and each position, as the mode says: log₂, ≥ 0.
        finer: how many times finer its step is than that of the other tensors: it is quantized so many times larger.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    transform: str
    mode: int
    load: Callable[[], np.ndarray]
    importances: np.ndarray
    row_scales: np.ndarray
    deficits: np.ndarray
    finer: float = 1.0

    def values(self) -> np.ndarray:
        """Return what is put on the grid, as `load` gives it, but ``finer`` times larger."""
        values = self.load()
        return values if self.finer == 1 else values * values.dtype.type(self.finer)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    def symbols(self, zero: float) -> np.ndarray:
        """Return the scale symbols where class 0 is a scale of 2^zero or less, int64."""
        rows = np.clip(np.rint(PER_OCTAVE * (self.row_scales - zero + math.log2(self.finer))), 0, 127)
        return np.concatenate([rows, np.clip(np.rint(PER_OCTAVE * self.deficits), 0, 127)]).astype(np.int64)


def prepare(
    name: str, array: np.ndarray, floor: float, *, cosine: bool = True, scales: int = ROWS | COLUMNS | POSITIONS,
    importances: np.ndarray | None = None, dtype: str | None = None, load: Callable[[], np.ndarray] | None = None,
) -> Source:  # fmt: skip
    """Return ``array`` ready to be quantized.

    The cosine transform is taken where it lowers the mean logarithm of the variances of the positions in a kernel,
    which is what bits follow. An error in what is transformed is one in all weights of the kernel: its importance is
    the mean of theirs. Axes get scales where these save more than they cost.

    Args:
        name: of the tensor.
        array: of any shape, floats, finite.
        floor: the standard deviation below which a weight costs nothing, about.
        cosine: whether a transform may be taken.
        scales: which axes may have scales.
        importances: h, of the array's shape, float32 or float64; exact where no transform may be taken.
        dtype: the type that the tensor is decompressed to; the array's own unless given.
        load: gives the array again: where it is given, nothing of the tensor's size is kept.
    """
    values = floats(array)
    transform = "none"
    if cosine and transformable(array.shape) and array.size:
        transformed = forward(values)
        if _spread(transformed) < _spread(values):
            transform, values = "cosine", transformed
            importances = None if importances is None else _even(importances)
    mode, rows, deficits = _scales(values.reshape(folded(array.shape)), floor, scales)
    heavy = np.zeros(0) if importances is None else np.ascontiguousarray(importances).reshape(-1)
    take = _kept(values) if load is None else _made_anew(load, transform)
    return Source(name, array.shape, dtype or array.dtype.name, transform, mode, take, heavy, rows, deficits)


def _even(importances: np.ndarray) -> np.ndarray:
    """Return for each weight the mean over its kernel."""
    means = importances.mean(axis=tuple(range(2, importances.ndim)), keepdims=True)
    return np.broadcast_to(means, importances.shape)


def floats(array: np.ndarray) -> np.ndarray:
    """Return ``array`` as float32 or float64.

    The conversion of bfloat16 that comes with the type keeps other threads waiting; its bits, moved, are a float32.
    """
    if array.dtype.name == "bfloat16":
        bits = array.view(np.uint16).astype(np.uint32)
        return np.left_shift(bits, 16, out=bits).view(np.float32)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _kept(values: np.ndarray) -> Callable[[], np.ndarray]:
    """Return what gives ``values``, flat."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return lambda: flat


def _made_anew(load: Callable[[], np.ndarray], transform: str) -> Callable[[], np.ndarray]:
    """Return what loads an array, transforms it, and gives it flat."""

    def take() -> np.ndarray:
        values = floats(load())
        return np.ascontiguousarray(forward(values) if transform == "cosine" else values).reshape(-1)

    return take


def _spread(kernels: np.ndarray) -> float:
    """Return the mean logarithm of the variances of the positions."""
    flat = kernels.reshape(*kernels.shape[:2], -1)
    energy = sum(np.square(flat[some], dtype=np.float64).sum(axis=(0, 1)) for some in parts(kernels.shape))
    return float(np.log2(np.maximum(energy / math.prod(kernels.shape[:2]), 1e-300)).mean())


def _scales(values: np.ndarray, floor: float, allowed: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Return mode, row scales and deficits of ``values`` (shape (rows, columns, positions))."""
    rows, columns, positions = values.shape
    present = (ROWS if rows > 1 else 0) | (COLUMNS if columns > 1 else 0) | (POSITIONS if positions > 1 else 0)
    modes = {0, ROWS, ROWS | POSITIONS, ROWS | COLUMNS, ROWS | COLUMNS | POSITIONS}
    candidates = sorted({mode & allowed & present for mode in modes})
    largest = max(float(values.max()), -float(values.min())) if values.size else 0.0
    if not largest:
        return 0, np.full(1, _NOTHING), np.zeros(0)
    shift = int(np.frexp(largest)[1]) if not 2.0**-8 < largest < 2.0**8 else 0  # lest squares and inverses leave floats
    values = np.ldexp(values, -shift) if shift else values
    floor = max(math.ldexp(floor, -shift) if shift > -900 else floor, 1e-300)
    best = None
    for mode in candidates:
        logs = fitted_scales(values, mode)
        bits = _SYMBOL_BITS * sum(symbol_counts(values.shape, mode))
        if len(candidates) > 1:
            bits += _ideal(logs, floor)
        if best is None or bits < best[0]:
            best = bits, mode, logs
    assert best is not None, "there is a candidate"
    _, mode, (a, b, c) = best
    deficits = [(x.max() - x) for bit, x in ((COLUMNS, b), (POSITIONS, c)) if mode & bit]
    own = a if mode & ROWS else a[:1]
    return mode, own + b.max() + c.max() + shift, np.concatenate([np.zeros(0), *deficits])


def _ideal(logs: tuple[np.ndarray, np.ndarray, np.ndarray], floor: float) -> float:
    """Return the bits above the floor of weights with these scales, up to a constant for each."""
    a, b, c = logs
    inner = np.sort((b[:, None] + c).reshape(-1))
    above = np.append(np.cumsum(inner[::-1])[::-1], 0.0)
    rest = a - math.log2(floor)  # what a row brings; of its weights those count that do not take it all off
    first = np.searchsorted(inner, -rest)
    return float((above[first] + (len(inner) - first) * rest).sum())


def fitted_scales(values: np.ndarray, mode: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log₂ of the standard deviations of rows, columns and positions, whose sum is that of a weight.

    Method: each in turn the mean of what the others leave (the maximum of a Gaussian likelihood, one axis at a time).

    Args:
        values: shape (rows, columns, positions).
        mode: which axes have scales of their own.
    """
    rows, columns, positions = values.shape
    flat = values.reshape(rows, -1)
    means = np.einsum("ij,ij->i", flat, flat).astype(np.float64) / (columns * positions)
    tiny = max(float(means.mean()), 1e-300) * 2.0 ** (2 * LOWEST)
    a, b, c = np.maximum(means, tiny), np.ones(columns), np.ones(positions)
    if not mode & ROWS:
        a[:] = a.mean()
    energy = np.square(flat) if mode & ~ROWS else flat
    for _ in range(_ROUNDS if mode & ~ROWS else 0):
        rest = (((1 / a).astype(flat.dtype) @ energy) / rows).reshape(columns, positions).astype(np.float64)
        for _ in range(2):
            b = np.maximum((rest / c).mean(axis=1), 2.0 ** (2 * LOWEST)) if mode & COLUMNS else b
            c = np.maximum((rest / b[:, None]).mean(axis=0), 2.0 ** (2 * LOWEST)) if mode & POSITIONS else c
        inner = (1 / np.maximum(b[:, None] * c, 2.0 ** (2 * LOWEST))).reshape(-1)
        if mode & ROWS:
            a = np.maximum(energy @ inner.astype(flat.dtype) / inner.size, tiny).astype(np.float64)
    return np.log2(a) / 2, np.log2(b) / 2, np.log2(c) / 2
