"""Weights on a uniform grid: a signed integer each, and one step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.codes.code import Code, Part, part, require
from laconic.codes.rounding import rounded
from laconic.codes.streams import Symbols, Values
from laconic.coding import FLOATS, entropy_bits

UNIT = 256
"""Offsets are in units of 1/256 step: exact in a float, and too fine to cost anything measurable."""


MAX_ALPHABET = 1024
"""As many as one frequency table takes; what is rarer is an escape. So no small file can ask for a large table."""


@final
@dataclass(frozen=True, eq=False)
class GridCode(Code):
    """Δ(Θ)_i = (q_i + sgn(q_i) o_|q_i| / 256) · step, in float64, rounded once to the tensor's dtype.

    A small q is a symbol, in the order 0, 1, −1, 2, −2, …; the last symbol of the alphabet says that q is the next of
    the escapes, so that no q is too large. An offset moves a level towards where its weights are.

    Args:
        shape: shape of the tensor.
        dtype: its element type, a float.
        step: the width of a cell, one float64; several codes may hold the same object, which is then stored once.
        offsets: o for |q| = 1, 2, …, int8; the last holds for all larger |q|. None at all stands for 0.
        indices: one symbol for each weight in row-major order.
        escapes: q of the weights that have the last symbol, in their order, int64.

    >>> symbols, far = Symbols(np.array([0, 1, 2, 3]), 4), Values(np.int64([-9]))
    >>> GridCode((4,), "float32", Values(np.float64([0.5])), Values(np.int8([])), symbols, far).decompress()
    array([ 0. ,  0.5, -0.5, -4.5], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    step: Values
    offsets: Values
    indices: Symbols
    escapes: Values

    @classmethod
    def of(
        cls, shape: tuple[int, ...], dtype: str, step: Values, offsets: Values, levels: np.ndarray, reach: int
    ) -> "GridCode":
        """Return the code of the integers ``levels``, shape (size,), int64, with escapes for those beyond ±``reach``.

        ``reach`` is 511 at most. The alphabet ends where the integers do, if that is before it.
        """
        size = np.abs(levels)
        far = size > reach
        near = np.where(far, 0, levels)
        alphabet = 2 * int(np.abs(near).max(initial=0)) + 2
        symbols = np.where(far, alphabet - 1, 2 * np.abs(near) - (near > 0))
        return cls(shape, dtype, step, offsets, Symbols(symbols, alphabet), Values(levels[far]))

    @property
    def levels(self) -> np.ndarray:
        """The integers q in row-major order, shape (size,), int64."""
        near = _unfolded(self.indices.alphabet)
        found = np.take(near, self.indices.array) if len(self.indices) else near[:0]
        found[self._far] = self.escapes.array
        return found

    @property
    def index_bits(self) -> float:
        """Order-0 empirical entropy of the symbols and 64 bits for each escape: what q costs without tables."""
        return entropy_bits(self.indices.array, self.indices.alphabet) + 64.0 * len(self.escapes)

    @property
    def _far(self) -> np.ndarray:
        """Mask of the weights whose q is an escape."""
        far: np.ndarray = self.indices.array == self.indices.alphabet - 1
        return far

    def decompress(self) -> np.ndarray:
        """Multiply, once for each symbol and each escape."""
        step = self.step.array[0]
        with np.errstate(over="ignore", under="ignore"):
            table = rounded(multiples(_unfolded(self.indices.alphabet), self.offsets.array) * step, self.dtype)
            far = rounded(multiples(self.escapes.array, self.offsets.array) * step, self.dtype)
        weights = np.take(table, self.indices.array, mode="clip")
        if len(far):
            weights[self._far] = far
        return weights.reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return step, offsets, indices and escapes."""
        return {"step": self.step, "offsets": self.offsets, "indices": self.indices, "escapes": self.escapes}

    def facts(self) -> tuple[int, ...]:
        """Return nothing: the alphabet says which symbol is the escape."""
        return ()

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "GridCode":
        """Invert `streams`."""
        step, offsets, escapes = (part(streams, name, Values) for name in ("step", "offsets", "escapes"))
        indices = part(streams, "indices", Symbols)
        code = cls(shape, dtype, step, offsets, indices, escapes)
        require(dtype in FLOATS, f"a grid for a tensor of {dtype}")
        require(step.array.dtype == np.float64 and len(step) == 1, f"{len(step)} steps of {step.array.dtype}")
        require(bool(np.isfinite(step.array[0])), f"a step of {step.array[0]}")
        require(offsets.array.dtype == np.int8, f"offsets of {offsets.array.dtype}")
        require(len(indices) == code.size, f"{len(indices)} indices for {code.size} elements")
        require(0 < indices.alphabet <= MAX_ALPHABET, f"a grid of {indices.alphabet} symbols, not 1 to {MAX_ALPHABET}")
        require(escapes.array.dtype == np.int64, f"escapes of {escapes.array.dtype}")
        far = int(np.count_nonzero(code._far))
        require(len(escapes) == far, f"{len(escapes)} escapes for {far} symbols that ask for one")
        return code

    def labels(self) -> np.ndarray:
        """Return q."""
        return self.levels


def multiples(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return `q + sgn(q) o_|q| / 256` in float64 for integers q, the last offset for all larger |q|.

    >>> multiples(np.array([-3, 0, 1]), np.int8([64, -64]))
    array([-2.75,  0.  ,  1.25])
    """
    found = levels.astype(np.float64)
    if len(offsets):
        places = np.minimum(np.abs(found), len(offsets)).astype(np.int64)  # |−2⁶³| is no int64
        found += np.sign(found) * np.concatenate([[0.0], offsets / UNIT])[places]
    return found


def _unfolded(alphabet: int) -> np.ndarray:
    """Return q of each symbol, int64: 0, 1, −1, 2, −2, …; that of the escape means nothing."""
    symbols = np.arange(alphabet, dtype=np.int64)
    return np.where(symbols % 2, symbols + 1, -symbols) // 2
