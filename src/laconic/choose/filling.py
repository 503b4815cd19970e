"""The file of a plan, as large as it may be: what no grid takes up is filled by more ranks, shares, values or bits.

Where some tensors are on the budget's grid, that takes what is left to the byte. Where none is, the strengths of all
rows (values, shares, ranks) are multiplied by one factor, the largest found at which the file is within its budgets:
strengths in menus are few, and their sums seldom near a budget. Bytes are nearly in proportion to the factor, which
says where to look next; bisection where it does not. Where another budget stops that before the bytes are used, as
multiply-adds stop ranks, what is left goes into the numbers that stay: all get as many times the bits, or values.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

from laconic.choose.ground import Candidate, File, Ground, Tick
from laconic.choose.menu import Offer
from laconic.csteps.compression import Compression
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.format.codes import Code

Picks = Mapping[str, Candidate]
"""The candidate of each tensor."""

_WIDEST, _TRIES, _NEAR = 64.0, 6, 0.01
"""Times the strengths, at most, up and down; files that are made; and what may be left of the size."""


def filled(
    ground: Ground, picks: Picks, size: int | None, meets: Callable[[File], bool], *, thorough: bool, tick: Tick
) -> tuple[File, Picks]:
    """Return the file of a plan, and the candidates that are in it.

    Args:
        ground: the network.
        picks: of tensors; those without an offer, or without a pick, are on the grid, or stay where no bytes count.
        size: bytes of the file, if they are asked for.
        meets: whether a file is within the other budgets.
        thorough: as `Ground.file`.
        tick: told of the progress.

    Raises:
        PlanError: when nothing is within the size; it names the smallest.
    """
    rows = {name: one for name, one in picks.items() if one.offer is not None}
    if len(rows) < len(ground.weights) and size is not None:
        return ground.file(_given(ground, rows), thorough=thorough, tick=tick), picks

    search = _Search(ground, size, meets, thorough, tick)
    best, last = search.best(picks, Offer.times)
    if best is None:
        raise PlanError(_above(last, size))
    if size is not None and best[0].file_bytes < (1 - _NEAR) * size:
        better, _ = search.best(best[1], Offer.finer, best[0])
        best = min(best, better or best, key=lambda one: one[0].distance)
    return best


@final
@dataclass(frozen=True, eq=False)
class _Search:
    """Files of one plan, whose rows are more or less; fields as arguments of `filled`."""

    ground: Ground
    size: int | None
    meets: Callable[[File], bool]
    thorough: bool
    tick: Tick

    def best(
        self, picks: Picks, changed: Callable[[Offer, float], Offer], first: File | None = None
    ) -> tuple[tuple[File, Picks] | None, File]:
        """Return the nearest file within the budgets with its candidates, if there is one, and the last that was made.

        Args:
            picks: at a factor of 1.
            changed: an offer at a factor.
            first: the file at 1, where it has been made and is within the budgets.
        """
        best, factor, last = None, 1.0, first
        low, high = 1 / _WIDEST if first is None else 1.0, _WIDEST
        for number in range(_TRIES + 1):
            some = {name: scaled(self.ground, one, changed, factor) for name, one in picks.items()}
            if last is None or number > 0:
                last = self.ground.file(_given(self.ground, some), thorough=self.thorough, tick=self.tick)
            if (self.size is None or last.file_bytes <= self.size) and self.meets(last):
                low, best = factor, (last, some) if best is None or last.distance <= best[0].distance else best
                if (self.size is None and number == 0) or self._is_near(last):
                    break
            else:
                high = factor
            if number == _TRIES - 1 and best is None:
                factor = 1 / _WIDEST  # the least that there is
                continue
            ahead = factor * (1 - _NEAR / 2) * (self.size or 0) / last.file_bytes if number < 3 else 0.0
            factor = ahead if low < ahead < high else math.sqrt(low * high)
        assert last is not None, "one has been made"
        return best, last

    def _is_near(self, file: File) -> bool:
        """Whether a file within the size leaves little of it."""
        return self.size is not None and file.file_bytes >= (1 - _NEAR) * self.size


def scaled(ground: Ground, candidate: Candidate, changed: Callable[[Offer, float], Offer], factor: float) -> Candidate:
    """Return the candidate with its offer changed by a factor; its damage in proportion to its error."""
    if candidate.offer is None or factor == 1.0:
        return candidate
    offer = changed(candidate.offer, factor)
    code = ground.coded(candidate.name, offer.row(tuple(ground.weights[candidate.name].shape)))
    error = ground.error(candidate.name, code)
    damage = candidate.damage and candidate.damage * error / candidate.error if candidate.error else candidate.damage
    return replace(candidate, offer=offer, code=code, error=error, damage=damage)


def row_of(ground: Ground, candidate: Candidate) -> Compression:
    """Return the row of a candidate."""
    shape = tuple(ground.weights[candidate.name].shape)
    return Lossless() if candidate.offer is None else candidate.offer.row(shape)


def _given(ground: Ground, picks: Picks) -> dict[str, tuple[Compression, Code]]:
    """Return row and code of each."""
    return {name: (row_of(ground, one), one.code) for name, one in picks.items()}


def _above(file: File, size: int | None) -> str:
    """Return what is wrong with a file."""
    if size is not None and file.file_bytes > size:
        return f"{size:,} bytes are not met: the smallest file takes {file.file_bytes:,}"
    return "a budget other than bytes is not met"
