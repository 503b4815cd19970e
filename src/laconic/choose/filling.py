"""The file of a plan, as large as it may be: what no grid takes up is filled by stronger or weaker techniques.

Where some tensors are on the budget's grid, that takes what is left to the byte. Where none is, the strengths of all
rows (values, shares, ranks) are multiplied by one factor, the largest by bisection at which the file is within its
budgets: strengths in menus are few, and their sums seldom near a budget.
"""

from collections.abc import Callable, Mapping

from laconic.choose.ground import Candidate, File, Ground, Tick
from laconic.csteps.compression import Compression
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.format.codes import Code

_WIDEST, _HALVINGS, _NEAR = 64.0, 9, 0.01


def filled(
    ground: Ground, picks: Mapping[str, Candidate], size: int | None, meets: Callable[[File], bool], *,
    thorough: bool, tick: Tick,
) -> File:  # fmt: skip
    """Return the file of a plan.

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
        given = {name: row_and_code(ground, one) for name, one in rows.items()}
        return ground.file(given, thorough=thorough, tick=tick)

    def made(factor: float) -> File | PlanError:
        given = {name: row_and_code(ground, one, factor) for name, one in rows.items()}
        if size is None:
            given |= {n: row_and_code(ground, one) for n, one in picks.items() if one.offer is None}
        try:
            file = ground.file(given, thorough=thorough, tick=tick)
        except PlanError as error:
            return error
        return file if (size is None or file.file_bytes <= size) and meets(file) else PlanError(_above(file, size))

    best, low, high = made(1.0), 1.0, 1.0
    if isinstance(best, PlanError):
        low = 1 / _WIDEST
        best = made(low)
        if isinstance(best, PlanError):
            raise best
    else:
        high = _WIDEST
    for _ in range(_HALVINGS):
        if size is not None and best.file_bytes >= (1 - _NEAR) * size:
            break
        middle = (low * high) ** 0.5
        found = made(middle)
        if isinstance(found, PlanError):
            high = middle
        else:
            low, best = middle, found if found.distance <= best.distance else best
    return best


def row_and_code(ground: Ground, candidate: Candidate, factor: float = 1.0) -> tuple[Compression, Code]:
    """Return the row of a candidate, its strength times a factor, and the tensor's code by it."""
    if candidate.offer is None:
        return Lossless(), candidate.code
    row = candidate.offer.times(factor).row(tuple(ground.weights[candidate.name].shape))
    return row, candidate.code if factor == 1.0 else ground.coded(candidate.name, row)


def _above(file: File, size: int | None) -> str:
    """Return what is wrong with a file."""
    if size is not None and file.file_bytes > size:
        return f"{size:,} bytes are not met: the smallest file takes {file.file_bytes:,}"
    return "the other budget is not met"
