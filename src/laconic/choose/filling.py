"""The file of a plan, as large as it may be: what no grid takes up is filled by stronger or weaker techniques.

Where some tensors are on the budget's grid, that takes what is left to the byte. Where none is, the strengths of all
rows (values, shares, ranks) are multiplied by one factor, the largest found at which the file is within its budgets:
strengths in menus are few, and their sums seldom near a budget. Bytes are nearly in proportion to the factor, which
says where to look next; bisection where it does not.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from laconic.choose.ground import Candidate, File, Ground, Tick
from laconic.csteps.compression import Compression
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.format.codes import Code

_WIDEST, _TRIES, _NEAR = 64.0, 6, 0.01
"""Times the strengths, at most, up and down; files that are made; and what may be left of the size."""


def filled(
    ground: Ground, picks: Mapping[str, Candidate], size: int | None, meets: Callable[[File], bool], *,
    thorough: bool, tick: Tick,
) -> tuple[File, Mapping[str, Candidate]]:  # fmt: skip
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

    best, low, high, factor, last = None, 1 / _WIDEST, _WIDEST, 1.0, None
    for number in range(_TRIES + 1):
        some = {name: scaled(ground, one, factor) for name, one in picks.items()}
        last = ground.file(_given(ground, some), thorough=thorough, tick=tick)
        if (size is None or last.file_bytes <= size) and meets(last):
            low, best = factor, (last, some) if best is None or last.distance <= best[0].distance else best
            if (size is None and number == 0) or (size is not None and last.file_bytes >= (1 - _NEAR) * size):
                break
        else:
            high = factor
        if number == _TRIES - 1 and best is None:
            factor = 1 / _WIDEST  # the least that there is
            continue
        ahead = factor * (1 - _NEAR / 2) * size / last.file_bytes if size is not None and number < 3 else 0.0
        factor = ahead if low < ahead < high else math.sqrt(low * high)
    if best is None:
        assert last is not None, "one has been made"
        raise PlanError(_above(last, size))
    return best


def scaled(ground: Ground, candidate: Candidate, factor: float) -> Candidate:
    """Return the candidate at so many times its strength; its damage in proportion to its error."""
    if candidate.offer is None or factor == 1.0:
        return candidate
    offer = candidate.offer.times(factor)
    code = ground.coded(candidate.name, offer.row(tuple(ground.weights[candidate.name].shape)))
    error = ground.error(candidate.name, code)
    damage = candidate.damage and candidate.damage * error / candidate.error if candidate.error else candidate.damage
    return replace(candidate, offer=offer, code=code, error=error, damage=damage)


def row_of(ground: Ground, candidate: Candidate) -> Compression:
    """Return the row of a candidate."""
    shape = tuple(ground.weights[candidate.name].shape)
    return Lossless() if candidate.offer is None else candidate.offer.row(shape)


def _given(ground: Ground, picks: Mapping[str, Candidate]) -> dict[str, tuple[Compression, Code]]:
    """Return row and code of each."""
    return {name: (row_of(ground, one), one.code) for name, one in picks.items()}


def _above(file: File, size: int | None) -> str:
    """Return what is wrong with a file."""
    if size is not None and file.file_bytes > size:
        return f"{size:,} bytes are not met: the smallest file takes {file.file_bytes:,}"
    return "a budget other than bytes is not met"
