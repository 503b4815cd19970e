"""Of the feasible networks on a path the best: within a budget each C step gives a file, and any of them will do."""

import math
from collections.abc import Mapping
from dataclasses import replace

from laconic.csteps.joint import Joint
from laconic.csteps.within_bytes import WithinBytes
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.lc.state import LCState, Point
from laconic.models.params import decompress
from laconic.training.task import Task


def looked_at(state: LCState, task: Task) -> LCState:
    """Return the state with the bytes and the validation measures of its point, and the best point so far.

    A path without a budget is returned as it is; where the task has no validation split, the last point is the best.
    """
    budget = budget_of(state)
    if budget is None:
        return state
    codes = compact(state.all_codes)
    validation = task.evaluate(state.params, "validation") if task.validation is not None else None
    file_bytes, best = budget.bytes(codes), state.best
    progress = replace(state.progress, file_bytes=file_bytes, validation=validation)
    if file_bytes <= budget.size and (best is None or _score(validation) <= _score(best.progress.validation)):
        best = Point(codes, progress)
    return replace(state, progress=progress, best=best)


def finished(state: LCState, tuned: Mapping[str, Code], task: Task) -> dict[str, Code]:
    """Return the codes that fine-tuning has made of the chosen ones, or these where the others are no better.

    Within a budget they may be too large, too, for the numbers that are tuned are not those that were counted.
    """
    codes, budget = compact(tuned), budget_of(state)
    if budget is None or state.best is None:
        return codes
    if budget.bytes(codes) > budget.size:
        return dict(state.best.codes)
    if task.validation is None:
        return codes
    better = _score(task.evaluate(decompress(codes), "validation")) <= _score(state.best.progress.validation)
    return codes if better else dict(state.best.codes)


def budget_of(state: LCState) -> WithinBytes | None:
    """Return the compression that the file's size is asked of, if there is one, beside nothing."""
    inner = (row.compression.of for row in state.rows if isinstance(row.compression, Joint))
    return next((one.beside({}) for one in inner if isinstance(one, WithinBytes) and one.counts_others), None)


def _score(validation: Mapping[str, float] | None) -> tuple[float, float]:
    """Return what is least for the best point: the error, where the task has one, and then the loss."""
    measures = [(validation or {}).get(name, 0.0) for name in ("error", "loss")]
    error, loss = (math.inf if math.isnan(value) else value for value in measures)
    return error, loss
