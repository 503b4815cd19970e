"""Which weights share a class: how large they are expected to be, told for rows, columns and positions.

A tensor is read as (rows, columns, positions): axis 0, axis 1, the rest; one with fewer than two axes is one row of
one column. The class of a weight is the symbol of its row less those of its column and its position, held within 0
and the number of classes less 1. Weights are coded class by class, those of a class line by line: a line is a row, or
in a turned grid a column at a position, the weights of all rows there.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.compiled import compiled
from laconic.format.coding.payload import Segments

ROWS, COLUMNS, POSITIONS = 1, 2, 4
"""Bits of a mode: which axes have symbols of their own."""

_STRIP = 64  # lines that are turned at a time: what is read of them stays in the nearest cache


def folded(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (rows, columns, positions) of a tensor of ``shape``.

    >>> folded((6, 3, 5, 5)), folded((7,))
    ((6, 3, 25), (1, 1, 7))
    """
    if len(shape) < 2:
        return 1, 1, math.prod(shape)
    return shape[0], shape[1], math.prod(shape[2:])


def symbol_counts(shape: tuple[int, ...], mode: int) -> tuple[int, int, int]:
    """Return how many symbols the rows, the columns and the positions of a tensor have.

    >>> symbol_counts((6, 3, 5, 5), ROWS | POSITIONS), symbol_counts((6, 3), 0)
    ((6, 0, 25), (1, 0, 0))
    """
    rows, columns, positions = folded(shape)
    return rows if mode & ROWS else 1, columns if mode & COLUMNS else 0, positions if mode & POSITIONS else 0


@final
@dataclass(frozen=True, eq=False)
class Scales:
    """The symbols of a tensor.

    Args:
        shape: of the tensor.
        mode: which axes have symbols.
        symbols: of the rows (or the one of all rows), the columns, the positions, as ``mode`` says; int64.
        classes: how many classes there are.
        turned: whether lines are columns at positions; else they are rows.
    """

    shape: tuple[int, ...]
    mode: int
    symbols: np.ndarray
    classes: int
    turned: bool = False

    def segments(self) -> Segments:
        """Return how many weights each class has, in the order in which they are coded."""
        return Segments.of_counts(self.counts())

    def counts(self) -> np.ndarray:
        """Return how many weights each class has, int64, shape (classes,).

        Weights whose row has the same symbol, and whose column and position take the same off it, are counted at once.
        """
        if not math.prod(self.shape):  # an axis of any length may lie beside one of length 0
            return np.zeros(self.classes, np.int64)
        counts = np.zeros(self.classes, np.int64)
        if self.mode == 0:
            counts[min(int(self.symbols[0]), self.classes - 1)] = math.prod(self.shape)
            return counts
        rows, columns, positions = self._parts()
        alike, off = np.bincount(rows), np.bincount((columns[:, None] + positions).reshape(-1))
        classes = np.clip(np.arange(len(alike))[:, None] - np.arange(len(off)), 0, self.classes - 1)
        many = alike[:, None] * off * (folded(self.shape)[0] // len(rows))
        np.add.at(counts, classes.reshape(-1), many.reshape(-1))
        return counts

    def each(self) -> np.ndarray:
        """Return the class of each weight in row-major order, uint8, shape (size,)."""
        rows, columns, positions = self._parts()
        inner = (columns[:, None] + positions).reshape(-1).astype(np.int16)
        classes = rows.astype(np.int16)[:, None] - inner
        classes = np.clip(classes, 0, self.classes - 1, out=classes).astype(np.uint8)
        return np.broadcast_to(classes, (*folded(self.shape)[:1], classes.shape[1])).reshape(-1)

    def taken(self) -> np.ndarray:
        """Return what column and position take off the class of each weight of a row, int64."""
        _, columns, positions = self._parts()
        return np.asarray((columns[:, None] + positions).reshape(-1))

    def transposed(self) -> "Scales":
        """Return the scales of a turned matrix as those of its transpose, which has the same classes in the same order.

        Symbols of rows count as columns', and the other way round: what they are below the largest.

        >>> Scales((2, 3), ROWS | COLUMNS, np.array([5, 4, 0, 1, 2]), 9, turned=True).transposed().symbols.tolist()
        [5, 4, 3, 0, 1]
        """
        (rows, columns, _), largest = self._parts(), int(self.symbols.max(initial=0))
        mode = (COLUMNS if self.mode & ROWS else 0) | (ROWS if self.mode & COLUMNS else 0)
        if mode & COLUMNS:
            first = largest - columns if mode & ROWS else np.array([largest])
            symbols = np.concatenate([first, largest - rows])
        else:
            symbols = np.maximum(rows[0] - columns, 0) if mode & ROWS else rows
        return Scales(self.shape[::-1], mode, symbols, self.classes)

    def sorted(self, weights: np.ndarray) -> np.ndarray:
        """Return ``weights`` (row-major, shape (size,)) class by class, those of a class line by line."""
        weights = self._in_lines(weights)
        if self._is_uniform():
            return weights
        if self._is_by_line():
            classes = self._line_classes()
            lines = weights.reshape(len(classes), -1)
            return lines[np.argsort(classes, kind="stable")].reshape(-1)
        out = np.empty_like(weights)
        _scatter(weights, self._in_lines(self.each()), self._starts(), out)
        return out

    def unsorted(self, weights: np.ndarray) -> np.ndarray:
        """Invert `sorted`."""
        lines = self._unsorted_lines(weights)
        if not self.turned:
            return lines
        rows, columns, positions = folded(self.shape)
        return transposed(lines.reshape(columns * positions, rows)).reshape(-1)

    def _in_lines(self, weights: np.ndarray) -> np.ndarray:
        """Return ``weights`` (row-major, shape (size,)) line by line."""
        if not self.turned:
            return weights
        rows, columns, positions = folded(self.shape)
        return transposed(weights.reshape(rows, columns * positions)).reshape(-1)

    def _unsorted_lines(self, weights: np.ndarray) -> np.ndarray:
        """Return what was sorted, line by line."""
        if self._is_uniform():
            return weights
        out = np.empty_like(weights)
        if self._is_by_line():
            classes = self._line_classes()
            lines = weights.reshape(len(classes), -1)
            out.reshape(lines.shape)[np.argsort(classes, kind="stable")] = lines
        else:
            plain = weights.dtype in (np.float32, np.float64, np.int64)  # others are moved as what they take
            bits = np.dtype(weights.dtype if plain else f"u{weights.itemsize}")
            _gather(weights.view(bits), self._in_lines(self.each()), self._starts(), out.view(bits))
        return out

    def _is_uniform(self) -> bool:
        """Whether all weights are of one class."""
        return self.mode == 0 or self.classes == 1 or not math.prod(self.shape)

    def _is_by_line(self) -> bool:
        """Whether all weights of a line are of one class."""
        return not self.mode & (ROWS if self.turned else COLUMNS | POSITIONS)

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the symbols of rows, columns and positions, zeros where there are none."""
        rows, columns, _ = symbol_counts(self.shape, self.mode)
        _, all_columns, all_positions = folded(self.shape)
        of_columns = self.symbols[rows : rows + columns] if columns else np.zeros(all_columns, np.int64)
        rest = self.symbols[rows + columns :]
        return self.symbols[:rows], of_columns, rest if self.mode & POSITIONS else np.zeros(all_positions, np.int64)

    def _line_classes(self) -> np.ndarray:
        """Return the class of each line where all its weights are of one."""
        rows, columns, positions = self._parts()
        symbols = rows[0] - (columns[:, None] + positions).reshape(-1) if self.turned else rows
        return np.asarray(np.clip(symbols, 0, self.classes - 1))

    def _starts(self) -> np.ndarray:
        """Return the place of the first weight of each class."""
        counts = self.counts()
        return np.asarray(np.cumsum(counts) - counts)


def transposed(matrix: np.ndarray) -> np.ndarray:
    """Return the transpose of ``matrix`` (shape (m, n)) in row-major order, a strip at a time.

    >>> transposed(np.arange(6).reshape(2, 3)).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    if min(matrix.shape) <= 1:
        return matrix.reshape(matrix.shape[::-1])
    bits = matrix.view(f"u{matrix.itemsize}")  # small floats are moved one by one
    out = np.empty(bits.shape[::-1], bits.dtype)
    for at in range(0, len(bits), _STRIP):
        out[:, at : at + _STRIP] = bits[at : at + _STRIP].T
    return out.view(matrix.dtype)


@compiled
def _scatter(weights: np.ndarray, classes: np.ndarray, starts: np.ndarray, out: np.ndarray) -> None:
    """Put each weight at the next place of its class."""
    places = starts.copy()
    for i in range(len(weights)):
        out[places[classes[i]]] = weights[i]
        places[classes[i]] += 1


@compiled
def _gather(weights: np.ndarray, classes: np.ndarray, starts: np.ndarray, out: np.ndarray) -> None:
    """Take each weight from the next place of its class."""
    places = starts.copy()
    for i in range(len(weights)):
        out[i] = weights[places[classes[i]]]
        places[classes[i]] += 1
