"""Of the feasible networks on a path the best: within a budget each C step gives a file, and any of them will do."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from laconic.calibrate.quality import Quality
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.lc.bounds import Judge
from laconic.lc.schedule import Progress
from laconic.lc.state import LCState, Point, budget_of
from laconic.models.params import decompress
from laconic.training.batches import size_of
from laconic.training.task import Task


def looked_at(state: LCState, task: Task, samples: int) -> LCState:
    """Return the state with the bytes and the validation measures of its point, and the best point so far.

    The best is the last one whose error is within one standard error of the least: of a hundred points the one with
    the least error has it by chance, and later ones have w nearer to Δ(Θ) (Breiman et al., Classification and
    regression trees, 1984, section 3.4.3). A path without a budget is returned as it is; where the task has no
    validation split, the last point is the best.

    Args:
        state: after a C step.
        task: says how good its point is.
        samples: of the validation split; 0 where there is none.
    """
    budget = budget_of(state)
    if budget is None:
        return state
    codes = compact(state.all_codes)
    validation = task.evaluate(state.params, "validation") if samples else None
    file_bytes, best = budget.bytes(codes), state.best
    progress = replace(state.progress, file_bytes=file_bytes, validation=validation)
    own = figure(validation)
    least = min(own, best.least) if best else own
    if file_bytes <= budget.size and (best is None or own <= least + _standard_error(validation, least, samples)):
        best = Point(codes, progress, least)
    return replace(state, progress=progress, best=best)


def samples_of(task: Task) -> int:
    """Return how many samples the validation split has; 0 where there is none."""
    if task.validation is None:
        return 0
    return sum(size_of(batch) for batch in task.batches("validation", 0))


def finished(
    state: LCState, tuned: Mapping[str, Code], task: Task, judge: Judge | None = None,
    fits: Callable[[Mapping[str, Code]], bool] | None = None,
) -> tuple[dict[str, Code], Quality | None]:  # fmt: skip
    """Return the codes that fine-tuning has made of the chosen ones, or these where the others are no better.

    Within a budget they may be too large, too, for the numbers that are tuned are not those that were counted.

    Args:
        state: the last.
        tuned: what fine-tuning has made.
        task: says how good both are.
        judge: says what they reach of a quality that is asked, which is returned, too.
        fits: says whether codes are within what is asked, where that is no row's affair.
    """
    codes, budget, best = compact(tuned), budget_of(state), state.best
    if best is None or (budget is None and fits is None):
        return codes, None
    untuned = dict(best.codes), best.quality
    if fits is not None and not fits(codes):
        return untuned
    if budget is not None:
        smallest = state.sizes.smallest if state.sizes is not None else None
        if budget.bytes(codes) > (smallest or budget.size):
            return untuned
    if task.validation is None:
        return codes, None
    params = decompress(codes)
    better = figure(task.evaluate(params, "validation")) <= figure(best.progress.validation)
    quality = judge(params) if judge and better else best.quality
    return (codes, quality) if better and (quality is None or quality.is_met) else untuned


def stands_out(progress: Progress, before: Iterable[Progress]) -> bool:
    """Say whether a point is smaller or better on the validation split than each of those before that are feasible.

    Args:
        progress: of the point; one without a budget, or that misses the drop or the KL that is asked, does not.
        before: of the points before it.

    >>> first = Progress(0, 0.0, 0.0, 0.5, None, None, file_bytes=900, validation={"error": 3.0})
    >>> stands_out(replace(first, file_bytes=950), [first]), stands_out(replace(first, file_bytes=899), [first])
    (False, True)
    """
    if progress.file_bytes is None or progress.met is False:
        return False
    feasible = [one for one in before if one.file_bytes is not None and one.met is not False]
    size, own = progress.file_bytes, figure(progress.validation)
    return not any((one.file_bytes or 0) <= size and figure(one.validation) <= own for one in feasible)


def figure(validation: Mapping[str, float] | None) -> float:
    """Return what is least for the best point: the error, where the task has one, or else the loss."""
    measures = validation or {}
    value = measures.get("error", measures.get("loss", 0.0))
    return math.inf if math.isnan(value) else value


def _standard_error(validation: Mapping[str, float] | None, percent: float, samples: int) -> float:
    """Return that of an error in percent on so many samples; 0 for what is none."""
    if "error" not in (validation or {}) or not 0 <= percent <= 100 or not samples:
        return 0.0
    return math.sqrt(percent * (100 - percent) / samples)
