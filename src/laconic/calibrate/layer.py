"""A layer ready to be quantized: its columns in the order in which the coder takes them, and what errors do to others.

    min over v   Σ_g Σ_{r in g} Σ_j h_gj l_r (x_rj − v_rj)² + price · Σ bits(v)

with x and v as in `laconic.calibrate.walk`. The coder takes weights class by class, and those of a class column by
column; so each row has its columns in the same order, whatever its own scale, and each column its rows: by their scale.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from laconic.calibrate.walk import rounded, walked
from laconic.format.codes.scales import ROWS, Scales
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.levels import tallied
from laconic.format.coding.packing import frozen
from laconic.format.coding.ungerboeck import feedback


@final
@dataclass(frozen=True, eq=False)
class Order:
    """The order in which the weights of a matrix (m, n) are chosen, and in which the coder takes them.

    Args:
        rows: the row at each place of a column, shape (m,).
        columns: the column at each place of a row, shape (n,).
        places: of the coder's order, place in the column and place in the row, int32, shape (2, m n).
        classes: of each of them, uint8, shape (m n,).
        lanes: of the coder.
        apart: whether `is_apart`, so that a lane can be gone through after the other.
    """

    rows: np.ndarray
    columns: np.ndarray
    places: np.ndarray
    classes: np.ndarray
    lanes: int
    apart: bool

    @classmethod
    def packed(cls, scales: Scales) -> "Order":
        """Return the order of weights of a shape (experts, outputs, inputs), turned: experts change fastest.

        Their matrix has a row for each output of each expert; all rows have their inputs in one order.
        """
        many, width, inner = scales.shape
        taken = scales.taken().reshape(width, inner)[0]
        classes = scales.each().reshape(many, width * inner).T.reshape(-1)
        flat, lanes = np.argsort(classes, kind="stable"), lane_count(classes.size)
        columns, rows = np.argsort(-taken, kind="stable"), np.arange(many * width)
        apart = not scales.mode & ROWS and is_apart(many, lanes)
        if apart:  # an expert is in one lane
            rows = np.argsort(rows // width % lanes, kind="stable")
        line = flat // many
        places = [_inverse(rows)[flat % many * width + line // inner], _inverse(columns)[line % inner]]
        return cls(rows, columns, np.stack(places).astype(np.int32), classes[flat], lanes, apart)

    @classmethod
    def of(cls, scales: Scales) -> "Order":
        """Return the order of a tensor with these scales, turned: columns with the smallest scale first.

        Of rows likewise those with the smallest scale come first; where there are lanes, first those of the first lane.
        """
        taken, m = scales.taken(), scales.shape[0]
        columns = np.argsort(-taken, kind="stable")
        classes = scales.each().reshape(m, len(taken)).T.reshape(-1)  # column by column
        flat, lanes = np.argsort(classes, kind="stable"), lane_count(classes.size)
        marks = scales.symbols[:m] if scales.mode & ROWS else np.zeros(m, np.int64)
        apart, rows = is_apart(np.bincount(marks), lanes), np.argsort(marks, kind="stable")
        if apart:  # those of a mark are in the lanes 0, 1, …, L − 1, 0, …
            rows = rows.reshape(-1, lanes).T.reshape(-1)
        places = np.stack([_inverse(rows)[flat % max(m, 1)], _inverse(columns)[flat // max(m, 1)]]).astype(np.int32)
        return cls(rows, columns, places, classes[flat], lanes, apart)


def is_apart(rows: np.ndarray | int, lanes: int) -> bool:
    """Return whether rows are each in one lane, given how many have each mark: they come column after column.

    This is so of all weights but those of a class that is cut off, which rows of several marks may share.
    """
    return not np.any(np.asarray(rows) % lanes)


def _inverse(order: np.ndarray) -> np.ndarray:
    """Return the place of each number in a permutation."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """The weights of a layer, rows and columns in the order in which they are coded.

    Args:
        targets: what the weights should be, shape (m, n), float64.
        feed: what an error in a column is to later ones, of each group of rows: G, shape (groups, n, n), or (0, n, n).
        steps: s, shape (n,).
        heights: what a squared step of error costs, in units of the water level, of each group: shape (groups, n).
        groups: the group of each row, int32, shape (m,).
        across: what an error in a row is to later ones: K, shape (m, m); or (0, 0). Only of lanes that are apart.
        lifts: how much more than others an error in a row costs, shape (m,).
        order: of the coder.
    """

    targets: np.ndarray
    feed: np.ndarray
    steps: np.ndarray
    heights: np.ndarray
    groups: np.ndarray
    across: np.ndarray
    lifts: np.ndarray
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
        return tallied(self.coded(levels), self.order.classes, classes, trellis=nu > 0)

    def quantized(self, costs: np.ndarray, nu: int, price: float, window: int) -> np.ndarray:
        """Return the integers for these code lengths, int32, shape (m, n).

        Args:
            costs: bits of each |v| in each class, float32, shape (classes, 1024).
            nu: 2^ν states of the trellis; 0 for none.
            price: of a bit, in units of the water level.
            window: steps of a lane that stay open.
        """
        levels, now, order = np.zeros(self.targets.shape, np.int32), self.targets.copy(), self.order
        places = *order.places, order.classes
        if order.apart and not nu:  # the kernel without a trellis knows no lanes
            places = tuple(one.reshape(-1, order.lanes).T.reshape(-1) for one in places)
        given = self.targets, self.feed, self.steps, self.heights, self.groups, self.across, self.lifts, costs
        fixed = *map(frozen, given), *map(frozen, places), price
        kernel: Any = walked if nu else rounded
        kernel(now, *fixed, *(((nu, *feedback(nu)), order.lanes, order.apart, window) if nu else ()), levels)
        return levels
