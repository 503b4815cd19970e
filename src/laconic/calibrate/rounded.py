"""What is left of a layer once its integers are chosen."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.calibrate.recursion import Form
from laconic.format.codes.grid import FINER, Grid, GridCode, fineness
from laconic.format.codes.rounding import rounded as to_dtype
from laconic.format.codes.scales import Scales
from laconic.format.codes.streams import Values
from laconic.format.coding.levels import tallied


@final
@dataclass(frozen=True, eq=False)
class Rounded:
    """A tensor of integers: a code but for the tables, which others may share.

    Args:
        shape: of the tensor.
        dtype: of what they stand for.
        scales: of its rows, columns and positions.
        steps: of each column of the tensor, or one of all.
        finer: k of each row, whose steps are 2^(−k/2) times these, shape (rows,); empty where none is.
        levels: the integers in the order of the coder, in the smallest type that has them all.
        form: of the weight. One that is turned has here the shape, rows and columns of its matrix; its code, whose
            rows are the columns here, has no finer steps.
    """

    shape: tuple[int, ...]
    dtype: str
    scales: Scales
    steps: np.ndarray
    finer: np.ndarray
    levels: np.ndarray
    form: Form = "plain"

    @property
    def symbols(self) -> np.ndarray:
        """What its code has in the stream of scales."""
        if self.form == "turned":
            return self.scales.transposed().symbols
        return np.concatenate([self.scales.symbols, self.finer])

    def weights(self) -> np.ndarray:
        """Return what the integers stand for, in the tensor's shape and type: what its code decompresses to."""
        rows = self.shape[0]
        values = self.scales.unsorted(self.levels).reshape(rows, -1 if rows else 0).astype(np.float64)
        steps = self.steps * fineness(self.finer)[:, None] if len(self.finer) else self.steps
        found = to_dtype((values * steps).reshape(self.shape), self.dtype)
        return np.ascontiguousarray(found.T) if self.form == "turned" else found

    def counts(self, nu: int) -> np.ndarray:
        """Return how often each size occurs in each class and of each parity, shape (classes, parities, 128).

        Args:
            nu: 2^ν states of the trellis that the integers are of; 0 for none.
        """
        of = self.scales.counts()  # integers are class by class
        return tallied(self.levels.astype(np.int64), np.repeat(np.arange(len(of)), of), len(of), trellis=nu > 0)

    def times(self, factor: float) -> "Rounded":
        """Return the same with all steps so many times as large."""
        return replace(self, steps=self.steps * factor)

    def code(self, shared: Grid, start: int = 0) -> GridCode:
        """Return the code with tables and symbols that others share, its own from ``start`` on."""
        own = Grid(Values(self.steps), shared.model, shared.scales)
        if self.form == "turned":
            turned = self.scales.transposed()
            levels = self.levels.astype(np.int64)
            return GridCode.of_sorted(turned.shape, self.dtype, levels, own, mode=turned.mode, start=start)
        mode, levels = self.scales.mode | (FINER if len(self.finer) else 0), self.levels.astype(np.int64)
        return GridCode.of_sorted(self.shape, self.dtype, levels, own, transform="turned", mode=mode, start=start)


def narrow(levels: np.ndarray) -> np.ndarray:
    """Return integers in the smallest type that has them all."""
    least, most = int(levels.min(initial=0)), int(levels.max(initial=0))
    kinds = (np.int8, np.int16, np.int32, np.int64)
    return levels.astype(next(kind for kind in kinds if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max))


def entropy(counts: np.ndarray) -> float:
    """Return the bits of values of which each occurs so often, by their own shares.

    >>> entropy(np.array([4, 0, 2, 2]))
    12.0
    """
    there = counts[counts > 0]
    return float(there @ np.log2(there.sum() / there)) if len(there) else 0.0
