"""The recursion over the columns of one layer, in blocks: integers for given steps and code lengths.

    min over v   Σ_j u_j² ‖x_j − v_j‖² s_j² + price · Σ bits(v)

with x and v columns as in `laconic.calibrate.walk`. What a block's errors are to all later columns is one product of
matrices. O(m n²), a constant share of it in these products.
"""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from laconic.calibrate.crossing import crossed
from laconic.calibrate.walk import FAR, rounded, walked
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.levels import SIZES, sizes_of
from laconic.format.coding.packing import frozen
from laconic.format.coding.ungerboeck import feedback

_BLOCK = 128
"""Columns whose errors are fed to the rest of the matrix at once."""

_LEARNING = 3
"""ν of passes that learn code lengths, at most."""


@final
@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a layer in the order in which they are coded, the first ones zeros.

    Args:
        targets: what the columns should be, shape (m, n), float64.
        feed: G, shape (n, n).
        steps: s, shape (n,).
        heights: what a squared step of error costs, in units of the water level, shape (n,).
        classes: of each column, not falling; 0 is that of the zeros.
        zeros: how many columns are zeros throughout.
    """

    targets: np.ndarray
    feed: np.ndarray
    steps: np.ndarray
    heights: np.ndarray
    classes: np.ndarray
    zeros: int

    def counts(self, levels: np.ndarray, nu: int) -> np.ndarray:
        """Return how often each size occurs in each class and of each parity, shape (classes, parities, 128)."""
        trellis, parities = nu > 0, 2 if nu else 1
        flat = levels.T.reshape(-1).astype(np.int64)
        classes = np.repeat(self.classes, len(levels))
        sizes = sizes_of(flat, trellis=trellis)
        places = (classes * parities + (flat & 1 if trellis else 0)) * SIZES + sizes
        total = (int(self.classes.max(initial=0)) + 1) * parities * SIZES
        return np.asarray(np.bincount(places, minlength=total).reshape(-1, parities, SIZES))

    def plain(self) -> np.ndarray:
        """Return the integers next to the targets, int32, shape (m, n)."""
        levels: np.ndarray = np.rint(self.targets / self.steps).astype(np.int32)
        levels[:, : self.zeros] = 0
        return levels

    def quantized(self, nu: int, price: float, window: int, passes: int) -> np.ndarray:
        """Return the integers, int32, shape (m, n), with code lengths learned from those of the pass before.

        Args:
            nu: 2^ν states of the trellis; 0 for none.
            price: of a bit, in units of the water level.
            window: steps of a lane that stay open.
            passes: the first learns from rounding alone; all but the last have few states, which tell as much.
        """
        levels = self.plain()
        for left in reversed(range(passes)):
            states = min(nu, _LEARNING) if left else nu
            levels = self._pass(smoothed_costs(self.counts(levels, nu)), states, price, window)
        return levels

    def _pass(self, costs: np.ndarray, nu: int, price: float, window: int) -> np.ndarray:
        """Return the integers for these code lengths."""
        rows, columns = self.targets.shape
        rest = self._beyond_zeros()
        lanes = lane_count(rows * columns)
        now, found = rest.targets.copy(), np.zeros(rest.targets.shape, np.int32)
        now += self.targets[:, : self.zeros] @ self.feed[: self.zeros, self.zeros :]
        given = rest.targets, rest.feed, rest.steps, rest.heights, costs, rest.classes
        fixed: Any = tuple(map(frozen, given))
        straight = rows % max(lanes, 1) == 0
        kernel: Any = rounded if not nu else walked if straight else crossed
        kept = _kept(lanes, nu, window, rest.targets.shape, None if straight else self.zeros * rows)
        for first in range(0, len(rest.feed), _BLOCK):
            last = min(first + _BLOCK, len(rest.feed))
            low = max((first * rows - (window + 1) * lanes) // max(rows, 1), 0) if nu else first
            fresh = np.zeros((rows, last - low))
            if nu:
                span = (first, last) if straight else (first, last, self.zeros)
                kernel(now, *fixed, price, (nu, *feedback(nu)), lanes, window, span, low, kept, fresh, found)
            else:
                kernel(now, *fixed, price, first, last, fresh, found)
            now[:, last:] += fresh @ rest.feed[low:last, last:]
        return np.concatenate([np.zeros((rows, self.zeros), np.int32), found], axis=1)

    def _beyond_zeros(self) -> "Columns":
        """Return the columns that are not zeros."""
        z = self.zeros
        return replace(
            self, targets=self.targets[:, z:], feed=self.feed[z:, z:], steps=self.steps[z:],
            heights=self.heights[z:], classes=self.classes[z:], zeros=0,
        )  # fmt: skip


def _kept(lanes: int, nu: int, window: int, shape: tuple[int, ...], before: int | None) -> tuple[np.ndarray, ...]:
    """Return what kernels keep from block to block, all lanes in state 0: of `crossed` after ``before`` zeros."""
    room, states = 1 << window.bit_length(), 1 << nu
    some = (lanes, states) if before is None else (2, lanes, states)
    costs, errors = np.full(some, FAR), np.zeros((*some, room), np.float32)
    costs[..., 0] = 0
    if before is None:
        return costs, errors, np.zeros(lanes, np.int64)
    return costs, errors, -((np.arange(lanes) - before) // lanes), np.zeros(shape, np.float32)
