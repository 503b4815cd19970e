"""A layer ready to be quantized: its columns in the order in which the coder takes them, and what errors do to others.

    min over v   Σ_g Σ_{r in g} Σ_j h_gj (x_rj − v_rj)² + price · Σ bits(v)

with x and v as in `laconic.calibrate.walk`. The coder takes weights class by class, and those of a class column by
column; so each row has its columns in the same order, whatever its own scale: by the scale of the column.
"""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from laconic.calibrate.walk import rounded, walked
from laconic.format.codes.scales import Scales
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.levels import SIZES, sizes_of
from laconic.format.coding.packing import frozen
from laconic.format.coding.ungerboeck import feedback


@final
@dataclass(frozen=True, eq=False)
class Order:
    """The order in which the coder takes the weights of a matrix (m, n).

    Args:
        columns: the column at each place of a row, shape (n,).
        places: of the coder's order, row and place in the row, int32, shape (2, m n).
        classes: of each of them, uint8, shape (m n,).
    """

    columns: np.ndarray
    places: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, scales: Scales) -> "Order":
        """Return the order of a tensor with these scales, turned: columns with the smallest scale first."""
        marks = scales.taken()
        columns = np.argsort(-marks, kind="stable")
        rows, n = scales.shape[0], len(marks)
        classes = scales.each().reshape(rows, n).T.reshape(-1)  # column by column
        flat = np.argsort(classes, kind="stable")
        place_of = np.empty(n, np.int64)
        place_of[columns] = np.arange(n)
        places = np.stack([flat % max(rows, 1), place_of[flat // max(rows, 1)]]).astype(np.int32)
        return cls(columns, places, classes[flat])


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """The weights of a layer, columns in the order in which they are coded.

    Args:
        targets: what the weights should be, shape (m, n), float64.
        feed: what an error in a column is to later ones, of each group of rows: G, shape (groups, n, n), or (0, n, n).
        steps: s, shape (n,).
        heights: what a squared step of error costs, in units of the water level, of each group: shape (groups, n).
        groups: the group of each row, int32, shape (m,).
        order: of the coder.
    """

    targets: np.ndarray
    feed: np.ndarray
    steps: np.ndarray
    heights: np.ndarray
    groups: np.ndarray
    order: Order

    def plain(self) -> np.ndarray:
        """Return the integers next to the targets, int32, shape (m, n)."""
        levels: np.ndarray = np.rint(self.targets / self.steps).astype(np.int32)
        return levels

    def coded(self, levels: np.ndarray) -> np.ndarray:
        """Return integers in the order of the coder, int64, shape (m n,)."""
        return np.asarray(levels[self.order.places[0], self.order.places[1]], np.int64)

    def counts(self, levels: np.ndarray, nu: int, classes: int) -> np.ndarray:
        """Return how often each size occurs in each class and of each parity, shape (classes, parities, 128)."""
        trellis, parities = nu > 0, 2 if nu else 1
        flat = self.coded(levels)
        places = (self.order.classes.astype(np.int64) * parities + (flat & 1 if trellis else 0)) * SIZES
        places += sizes_of(flat, trellis=trellis)
        return np.asarray(np.bincount(places, minlength=classes * parities * SIZES).reshape(-1, parities, SIZES))

    def quantized(self, costs: np.ndarray, nu: int, price: float, window: int) -> np.ndarray:
        """Return the integers for these code lengths, int32, shape (m, n).

        Args:
            costs: bits of each |v| in each class, float32, shape (classes, 1024).
            nu: 2^ν states of the trellis; 0 for none.
            price: of a bit, in units of the water level.
            window: steps of a lane that stay open.
        """
        levels, now = np.zeros(self.targets.shape, np.int32), self.targets.copy()
        given = self.targets, self.feed, self.steps, self.heights, self.groups
        fixed = (*map(frozen, given), frozen(costs), *map(frozen, self.order.places), frozen(self.order.classes))
        kernel: Any = walked if nu else rounded
        trellis = ((nu, *feedback(nu)), lane_count(levels.size), window) if nu else ()
        kernel(now, *fixed, price, *trellis, levels)
        return levels

    def of_rows(self, rows: np.ndarray) -> "Layer":
        """Return some rows alone, in an order of the same kind: what stands for all in a trial."""
        new = np.full(len(self.targets), -1, np.int32)
        new[rows] = np.arange(len(rows))
        there = new[self.order.places[0]] >= 0
        places = np.stack([new[self.order.places[0][there]], self.order.places[1][there]])
        order = replace(self.order, places=places, classes=self.order.classes[there])
        return replace(self, targets=self.targets[rows], groups=self.groups[rows], order=order)
