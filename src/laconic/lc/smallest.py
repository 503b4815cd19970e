"""The smallest file of a quality by the LC algorithm: paths of several sizes in one run.

    min bytes   subject to   w = Δ(Θ),   drop + its standard error ≤ bound   (or KL ≤ bound)

Each size has a path of its own: from the original's weights, direct compression, λ = 0 and a small μ on. A size that
shrinks while weights lie on the grid takes whole classes of them at once; and weights that have been pulled to the grid
of a larger size come to a smaller one later than the original's, or not at all (`docs/notes/within.md`). A path ends
where direct compression meets the bound, or two points in a row do, or with the schedule. Sizes are those of
`laconic.lc.sizes`. A step is a function of the last state and the original.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from laconic.errors import PlanError
from laconic.format.compact import compact
from laconic.lc.bounds import Judge, told
from laconic.lc.schedule import Schedule
from laconic.lc.state import LCState, Point, budget_of, sized
from laconic.lc.steps import LStep, begun_anew, c_step
from laconic.models.params import Params
from laconic.training.task import Task


def smallest(
    state: LCState,
    reference: Params,
    l_step: LStep,
    schedule: Schedule,
    task: Task,
    judge: Judge,
    *,
    augmented: bool = True,
) -> Iterator[LCState]:
    """Yield ``state``, and then the states of the paths until no smaller size is found to meet the quality.

    Args:
        state: `laconic.lc.steps.start`'s, with `Sizes` and `judged`, or a later one.
        reference: the original's parameters and buffers, which each path begins from.
        l_step: see `LStep`.
        schedule: of each path: it is given steps counted from the beginning of the path.
        task: says how good each point is.
        judge: says what it reaches of the quality.
        augmented: augmented Lagrangian, or the quadratic-penalty method.
    """
    yield state
    while True:
        search = state.sizes
        assert search is not None, "each state has where the search stands"
        mu = None if search.is_met else schedule.next_mu(state.since_began)
        if mu is not None:
            weights, loss = l_step(state, mu)
            state = c_step(state, weights, mu, loss=loss, augmented=augmented)
        elif (begun := _next(state, reference)) is not None:
            state = begun
        else:
            return
        state = judged(state, task, judge)
        yield state


def judged(state: LCState, task: Task, judge: Judge) -> LCState:
    """Return the state with bytes, measures and quality of its point, and the best point so far.

    That is the last one of the smallest size that has met the bound; before one has, the one that is nearest to it.
    """
    budget = budget_of(state)
    assert budget is not None, "a quality is asked of files of some size"
    assert state.sizes is not None, "the search has begun"
    codes, params = compact(state.all_codes), state.params
    quality = judge(params)
    sizes = state.sizes.seen(quality.excess, direct=state.progress.mu == 0)
    validation = {**task.evaluate(params, "validation"), **told(quality)}
    progress = replace(state.progress, file_bytes=budget.bytes(codes), validation=validation, met=quality.is_met)
    best = state.best and state.best.quality
    nearer = sizes.smallest is None and (best is None or quality.excess < best.excess)
    point = Point(codes, progress, 0.0, quality) if sizes.is_met or nearer else state.best
    return replace(state, progress=progress, best=point, sizes=sizes)


def require_met(state: LCState) -> None:
    """Check that a search that has ended has found a file.

    Raises:
        PlanError: when it has not; it names the nearest point.
    """
    search, best = state.sizes, state.best
    if search and best and best.quality and search.smallest is None:
        nearest, at = best.quality, best.progress
        raise PlanError(
            f"none of {search.ended + 1} sizes is within the bound of {nearest.bound:g}; the nearest point, of "
            f"{at.file_bytes or 0:,} bytes at step {at.step}: {nearest}"
        )


def _next(state: LCState, reference: Params) -> LCState | None:
    """Return direct compression to the next size, where its path begins, or None where there is none."""
    following = state.sizes
    while following is not None and (following := following.after()) is not None:
        with suppress(PlanError):  # too few bytes for anything: no path
            begun = begun_anew(state, sized(state.rows, following.size), reference)
            return replace(begun, sizes=following)
    return None
