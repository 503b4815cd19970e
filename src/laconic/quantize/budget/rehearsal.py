"""Steps tried on some of the weights, which takes no time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from laconic.quantize.budget.state import Measure, Search, State, Trial
from laconic.quantize.lattice import Rehearsal
from laconic.quantize.lattice.secant import between, next_step


@final
@dataclass(frozen=True, eq=False)
class Stage:
    """Where a rehearsal stands.

    Args:
        x: log₂ of the next step.
        plays: the few weights of each group, with the classes of scale around ``origin``.
        origin: log₂ of the step that these are for.
        last_trial: the last trial on them.
        above: the trial next above the budget, and its weights.
        seen: steps and excesses since the classes of scale were made.
        ended: whether another step would not move.
    """

    x: float
    plays: Sequence[Rehearsal] = ()
    origin: float = math.inf
    last_trial: Trial | None = None
    above: tuple[Trial, Sequence[Rehearsal]] | None = None
    seen: tuple[tuple[float, float], ...] = ()
    ended: bool = False


def rehearse(search: Search, state: State) -> State:
    """Return the state with a trial on some of the weights that meets the budget there, from the state's step on.

    Code lengths are learned on the way. Where they do not settle, for the more weights are 0 the cheaper 0 becomes,
    they are kept as they were last above the budget, and no pass learns.
    """
    stage, tuning, learning, measure = Stage(state.x), search.tuning, search.tuning.learning, state.measure
    for _ in range(tuning.trials):
        stage = stage if stage.ended else _tried(search, measure, stage)
    assert stage.last_trial is not None, "there is a trial"
    last_trial, plays = stage.last_trial, stage.plays
    unsettled = stage.above is not None and abs(last_trial.excess - search.goal.aim) > search.goal.slack
    if unsettled and stage.above is not None:
        (start, plays), learning = stage.above, 0
        last_trial = _kept(search, measure, start, plays)
    slope = _slope(search, measure, plays, last_trial)
    if not search.large or unsettled:
        return replace(
            state,
            measure=measure,
            last_trial=last_trial,
            x=last_trial.x,
            slope=slope,
            learning=learning,
            seen=(),
            outside=(),
        )
    return _refined(
        search, replace(state, measure=measure, last_trial=last_trial, slope=slope, seen=(), outside=()), stage.origin
    )


def _refined(search: Search, state: State, origin: float) -> State:
    """Return the state of a large network with the code lengths of a larger sample, so that no pass need learn.

    Its bytes are so well known that the first pass mostly meets the budget.

    Args:
        search: what stays.
        state: with the last trial on the smaller sample, and the slope.
        origin: log₂ of the step that the classes of scale are for.
    """
    assert state.last_trial is not None, "it was rehearsed"
    tuning, measure = search.tuning, replace(state.measure, beside=_beside(search, state.last_trial))
    count = min(max(search.network.weights // tuning.share, tuning.least), tuning.most)
    plays = _plays(search, origin, count)
    last_trial = measure.trial(search.goal, state.last_trial.x, state.last_trial.groups)
    for _ in range(tuning.refined):
        last_trial = _played(search, measure, plays, last_trial, _aimed(search, last_trial, state.slope), learning=True)
    return replace(state, measure=measure, last_trial=last_trial, x=_aimed(search, last_trial, state.slope), learning=0)


def _plays(search: Search, x: float, count: int) -> list[Rehearsal]:
    """Return some ``count`` of the weights, those of each group, with the classes of scale around log₂ step ``x``."""
    each = max(count // max(len(search.quantizers), 1), 1 << 10)
    return [quantizer.rehearsal(2.0**x, each) for quantizer in search.quantizers]


def _tried(search: Search, measure: Measure, stage: Stage) -> Stage:
    """Return the stage after one more trial, which learns, and where to go from there."""
    x, goal, tuning = stage.x, search.goal, search.tuning
    if stage.last_trial is None or abs(x - stage.origin) > tuning.classes:
        plays = _plays(search, x, tuning.rehearsed)
        first = measure.trial(goal, x, [play.first(2.0**x) for play in plays])
        stage = replace(stage, plays=plays, origin=x, last_trial=first, seen=())
    assert stage.last_trial is not None, "there is a first trial"
    last_trial, above = _played(search, measure, stage.plays, stage.last_trial, x, learning=True), stage.above
    if last_trial.excess > 0 and (above is None or last_trial.excess < above[0].excess):
        above = last_trial, stage.plays
    seen = (*stage.seen, (x, last_trial.excess))
    wanted = search.held(next_step(seen, goal.steep, goal.aim))
    ended = abs(wanted - x) < tuning.settled or (len(seen) > 2 and goal.enough <= last_trial.excess <= 0)
    return replace(stage, x=wanted, last_trial=last_trial, above=above, seen=seen, ended=ended)


def _kept(search: Search, measure: Measure, start: Trial, plays: Sequence[Rehearsal]) -> Trial:
    """Return the trial next to the aim with the code lengths that ``start`` had."""
    seen, last_trial = [(start.x, start.excess - search.goal.aim)], start
    for _ in range(search.tuning.trials):
        x = search.held(between(seen, search.goal.steep))
        last_trial = _played(search, measure, plays, start, x, learning=False)
        seen.append((last_trial.x, last_trial.excess - search.goal.aim))
    return last_trial


def _slope(search: Search, measure: Measure, plays: Sequence[Rehearsal], last_trial: Trial) -> float:
    """Return how the excess changes with log₂ step where code lengths are kept; of the sign that it must have."""
    apart, steep = search.tuning.apart, search.goal.steep
    aside = _played(search, measure, plays, last_trial, last_trial.x + apart, learning=False)
    slope = (aside.excess - last_trial.excess) / apart
    return math.copysign(max(slope * steep, 0) / abs(steep) or search.tuning.flat, steep)


def _aimed(search: Search, last_trial: Trial, slope: float) -> float:
    """Return log₂ of the step that the slope leads to, at most an octave away."""
    return search.held(last_trial.x + min(max((search.goal.aim - last_trial.excess) / slope, -1.0), 1.0))


def _played(
    search: Search, measure: Measure, plays: Sequence[Rehearsal], last_trial: Trial, x: float, *, learning: bool
) -> Trial:
    """Return a trial on some of the weights."""
    hows = last_trial.hows(x, learning=learning)
    return measure.trial(search.goal, x, [play.round(how) for play, how in zip(plays, hows, strict=True)])


def _beside(search: Search, last_trial: Trial) -> float:
    """Return the bytes of the file that are neither levels nor their tables, by the scales of a trial."""
    frames = [group.frames() for group in last_trial.groups]
    codes = {**search.network.dense, **{name: code for frame in frames for name, code in frame.items()}}
    tables = sum(len(group.model.pack()) for group in last_trial.groups)
    return float(search.network.file_bytes(codes) - tables)
