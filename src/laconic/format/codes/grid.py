"""Weights on a uniform grid: a signed integer each, one step, and the entropy coder's own bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.cosine import forward, inverse, parts, transformable
from laconic.format.codes.rounding import rounded
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS, Scales, folded, symbol_counts
from laconic.format.codes.streams import Symbols, Values
from laconic.format.coding import FLOATS
from laconic.format.coding.dtypes import dtype_of
from laconic.format.coding.model import MAX_CLASSES, Model, parse_model
from laconic.format.coding.payload import Coder, decode_counts, decode_levels, decode_weights, encode_levels

TRANSFORMS = ("none", "cosine", "turned")
"""What is quantized: the weights, the cosine transform of their kernels, or the weights column by column; the position
is the number in the file."""

FINER = 8
"""Bit of a mode: rows have symbols of how much finer their steps are."""

_ROOT = 181 / 256
"""√½, about: a product with a step of few bits is exact."""


@final
@dataclass(frozen=True, eq=False)
class Grid:
    """What several grid codes share: one object, stored once.

    Args:
        step: the width of a level, one float64.
        model: bytes of offsets, trellis and tables.
        scales: the scale symbols of all tensors, one tensor after the other.
    """

    step: Values
    model: Values
    scales: Symbols

    @classmethod
    def of(cls, step: float, model: Model, scales: np.ndarray) -> "Grid":
        """Return the shared part for ``model`` and all scale symbols, each below 128."""
        stored = Values(np.frombuffer(model.pack(), np.uint8).copy())
        return cls(Values(np.array([step])), stored, Symbols(scales, int(scales.max(initial=-1)) + 1))


@final
@dataclass(frozen=True, eq=False)
class GridCode(Code):
    """Δ(Θ)_i = (v_i + sgn(v_i) o_|v_i| / 256) · step, or the inverse cosine transform of these, rounded once.

    The integers v are entropy-coded, each by the table of its class: weights of like variance share one, and the
    variance is told for rows, columns and positions. With a trellis, v has the parity that the ones before it say.
    Decompression decodes and multiplies in one pass. In a turned grid weights of a class are coded by column, position
    and row, the row fastest; else in row-major order.

    Args:
        shape: shape of the tensor.
        dtype: its element type, a float.
        transform: of `TRANSFORMS`.
        mode: which axes have scale symbols: the sum of 1 (rows), 2 (columns) and 4 (positions); and 8 where each row of
            a turned grid has one more, k after the others: all its steps are 2^(−k/2) times those that are told.
        start: its first scale symbol among those of all tensors.
        step: the width of a level, one float64 that tensors may share, or one for each row (dimension 0), in a turned
            grid for each column and position: element c · positions + p.
        model: bytes of offsets, trellis and tables; shared.
        scales: scale symbols of all tensors; shared.
        payload: the coded integers.
    """

    shape: tuple[int, ...]
    dtype: str
    transform: str
    mode: int
    start: int
    step: Values
    model: Values
    scales: Symbols
    payload: Values

    @classmethod
    def of(
        cls, shape: tuple[int, ...], dtype: str, levels: np.ndarray, shared: Grid,
        *, transform: str = "none", mode: int = 0, start: int = 0,
    ) -> "GridCode":  # fmt: skip
        """Return the code of the integers ``levels`` (row-major, shape (size,), int64); see `of_sorted`."""
        classes = _coder(shared.model.array.tobytes()).classes
        scales = _scales(shape, transform, mode, start, shared.scales, classes)
        ordered = scales.sorted(np.ascontiguousarray(levels, np.int64))
        return cls.of_sorted(shape, dtype, ordered, shared, transform=transform, mode=mode, start=start)

    @classmethod
    def of_sorted(
        cls, shape: tuple[int, ...], dtype: str, levels: np.ndarray, shared: Grid,
        *, transform: str = "none", mode: int = 0, start: int = 0,
    ) -> "GridCode":  # fmt: skip
        """Return the code of ``levels``, class by class, in the order in which `Scales.sorted` puts them.

        Every level must have a frequency in its class, and with a trellis each lane be a path through it.
        """
        coder = _coder(shared.model.array.tobytes())
        scales = _scales(shape, transform, mode, start, shared.scales, coder.classes)
        stored = Values(np.frombuffer(encode_levels(levels, scales.segments(), coder), np.uint8).copy())
        return cls(shape, dtype, transform, mode, start, shared.step, shared.model, shared.scales, stored)

    @property
    def own_scales(self) -> Scales:
        """The scale symbols of this tensor."""
        return _scales(self.shape, self.transform, self.mode, self.start, self.scales, self.coder.classes)

    @property
    def fineness(self) -> np.ndarray:
        """What multiplies the steps of each row, of a shape that multiplies the tensor."""
        ones = (1,) * (len(self.shape) - 1)
        if not self.mode & FINER:
            return np.ones((1, *ones))
        start = self.start + sum(symbol_counts(self.shape, self.mode & ~FINER))
        return fineness(self.scales.array[start : start + self.shape[0]].astype(np.int64)).reshape(-1, *ones)

    @property
    def step_shape(self) -> tuple[int, ...]:
        """The shape in which the steps multiply the tensor: of all weights, each row, or each column and position."""
        if len(self.step) == 1:
            return (1,) * len(self.shape)
        if self.transform == "turned":
            return (1, *self.shape[1:]) if len(self.shape) > 1 else self.shape
        return len(self.step), *(1,) * (len(self.shape) - 1)

    @property
    def coder(self) -> Coder:
        """The model made ready."""
        return _coder(self.model.array.tobytes())

    @property
    def index_bits(self) -> float:
        """What the integers cost by the tables, in bits: no tables, scale symbols or states of the coder."""
        return self._counted[0]

    @property
    def extremes(self) -> tuple[int, int]:
        """The least of the integers v and the largest; 0 and 0 where there are none."""
        return self._counted[1]

    @cached_property
    def _counted(self) -> tuple[float, tuple[int, int]]:
        """What the integers cost, and the least and the largest: decoded once."""
        segments = self.own_scales.segments()
        levels = decode_counts(self.payload.array.data, segments, self.coder)
        extremes = (int(levels.min()), int(levels.max())) if len(levels) else (0, 0)
        return self.coder.bits(levels, segments), extremes

    @property
    def levels(self) -> np.ndarray:
        """The integers v in row-major order, shape (size,), int64."""
        scales = self.own_scales
        return scales.unsorted(decode_levels(self.payload.array.data, scales.segments(), self.coder))

    def decompress(self) -> np.ndarray:
        """Decode, multiply, and transform back."""
        single, cosine = len(self.step) == 1 and not self.mode & FINER, self.transform == "cosine"
        plain = single and self.dtype == "float32" and not cosine
        scales, step = self.own_scales, float(self.step.array[0]) if single else 1.0
        weights = decode_weights(
            self.payload.array.data, scales.segments(), self.coder, step, np.dtype(np.float32 if plain else np.float64)
        )
        if single and not cosine:  # rounded first, for then there is less to put in order
            weights = weights if plain else rounded(weights, self.dtype)
            return scales.unsorted(weights).reshape(self.shape)
        weights = scales.unsorted(weights).reshape(self.shape)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if not single:
                weights = weights * (self.step.array.reshape(self.step_shape) * self.fineness)
            if cosine:
                kernels = np.empty(self.shape, dtype_of(self.dtype))
                for some in parts(self.shape):
                    kernels[some] = rounded(inverse(weights[some]), self.dtype)
                return kernels
        return rounded(weights, self.dtype)

    def streams(self) -> Mapping[str, Part]:
        """Return step, model, scales and payload."""
        return {"step": self.step, "model": self.model, "scales": self.scales, "payload": self.payload}

    def facts(self) -> tuple[int, ...]:
        """Return the number of the transform, the mode, and the place of the first scale symbol."""
        return TRANSFORMS.index(self.transform), self.mode, self.start

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "GridCode":
        """Invert `streams`; the payload is checked when it is decoded."""
        step, model, payload = (part(streams, name, Values) for name in ("step", "model", "payload"))
        scales = part(streams, "scales", Symbols)
        require(dtype in FLOATS, f"a grid for a tensor of {dtype}")
        require(len(facts) == 3 and facts[0] < len(TRANSFORMS), f"a grid with facts {facts}")
        transform, mode, start = TRANSFORMS[facts[0]], facts[1], facts[2]
        rows, columns, positions = folded(shape)
        lines, named = (columns * positions, "columns and positions") if transform == "turned" else (rows, "rows")
        require(step.array.dtype == np.float64, f"steps of {step.array.dtype.name}")
        require(len(step) in (1, max(lines, 1)), f"{len(step)} steps for {lines} {named}")
        require(bool(np.isfinite(step.array).all()), "a step that is not finite")
        require(model.array.dtype == payload.array.dtype == np.uint8, "model and payload of a grid are bytes")
        require(mode <= ROWS | COLUMNS | POSITIONS | FINER, f"a grid of mode {mode}")
        require(not mode & FINER or (transform == "turned" and len(shape) > 1), f"a {transform} grid of mode {mode}")
        require(transform != "cosine" or transformable(shape), f"a cosine transform of shape {shape}")
        require(scales.alphabet <= MAX_CLASSES, f"scale symbols of an alphabet of {scales.alphabet}")
        end = start + sum(symbol_counts(shape, mode & ~FINER)) + (rows if mode & FINER else 0)
        require(end <= len(scales), f"scale symbols {start} to {end} of {len(scales)}")
        _coder(model.array.tobytes())
        return cls(shape, dtype, transform, mode, start, step, model, scales, payload)

    def check(self) -> None:
        """Decode the payload; what is counted meanwhile stays."""
        _ = self._counted

    def labels(self) -> np.ndarray:
        """Return v; with a cosine transform, of each coefficient."""
        return self.levels


def fineness(symbols: np.ndarray) -> np.ndarray:
    """Return 2^(−k/2) of symbols k, to 9 bits.

    >>> fineness(np.arange(4)).tolist()
    [1.0, 0.70703125, 0.5, 0.353515625]
    """
    return np.asarray(np.ldexp(np.where(symbols % 2, _ROOT, 1.0), -(symbols // 2)))


def coefficients(array: np.ndarray, transform: str) -> np.ndarray:
    """Return what is quantized of the tensor ``array``, float32 or float64, shape (size,)."""
    if transform == "cosine":
        return forward(array).reshape(-1)
    return array.reshape(-1).astype(array.dtype if array.dtype in (np.float32, np.float64) else np.float32)


def _scales(shape: tuple[int, ...], transform: str, mode: int, start: int, scales: Symbols, classes: int) -> Scales:
    """Return the scale symbols of one tensor."""
    mode &= ~FINER
    own = scales.array[start : start + sum(symbol_counts(shape, mode))].astype(np.int64)
    return Scales(shape, mode, own, classes, transform == "turned")


@lru_cache(maxsize=16)
def _coder(model: bytes) -> Coder:
    """Return the model of these bytes, made ready."""
    return Coder(parse_model(model))
