"""One step for the whole network, such that the budget is met; a finer one where a tensor would be wiped out.

    min Σ (w − ŵ)²   subject to   bytes of the file ≤ budget        (or: the fewest bytes within a distortion)

The water level of reverse water-filling: where errors add up, the best shares of a budget have one slope everywhere,
and on grids one slope is one step. What is left to find is that one number.

Method: `rehearse` finds it on a sample; `learn` and `hold` are passes over all weights, whose integers and files are
kept; where none meets the budget, `splice` takes what lies between two. Each is a function of one frozen `State`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from laconic.errors import PlanError
from laconic.quantize.budget.apart import NOTHING, Apart
from laconic.quantize.budget.budget import QUALITIES, Budget, Fitted, Tools
from laconic.quantize.budget.goal import Goal
from laconic.quantize.budget.network import LEAST, RECORD, Network
from laconic.quantize.budget.rehearsal import rehearse
from laconic.quantize.budget.splicing import splice
from laconic.quantize.budget.state import Measure, Search, State, settled
from laconic.quantize.budget.steps import left, powered, raised
from laconic.quantize.budget.tuning import TUNED, Tuning
from laconic.quantize.lattice.secant import between
from laconic.quantize.lattice.workers import Ranks, Workers

PASSES = TUNED.passes
"""Passes over the weights that the search for the step takes at most."""

Watch = Callable[[int, int], None]
"""Is told after each pass its number and the bytes of the file."""


def fit(
    tensors: Mapping[str, np.ndarray],
    budget: Budget,
    tools: Tools | None = None,
    metadata: Mapping[str, str] | None = None,
    watch: Watch | None = None,
    *,
    reference_bytes: int | None = None,
    threads: int | None = None,
    tuning: Tuning = TUNED,
    apart: Apart = NOTHING,
    importances: Mapping[str, np.ndarray] | None = None,
    names: Mapping[str, str] | None = None,
    ranks: Ranks | None = None,
) -> Fitted:
    """Return the codes of ``tensors`` within ``budget``: floats with two or more axes on one grid, the rest lossless.

    A tensor that would be left with less than 6 dB of its own, or with 8 dB less than the network, has a finer step
    than the others (`laconic.quantize.budget.steps`); where the network has less than 9 dB the floor is lower. Where
    there are importances these, and not the 8 dB, say how far below the network a tensor may be. A few weights that
    hold more than half of their tensor's energy are kept (`laconic.quantize.budget.outliers`).

    Masks, tensors of one value and tensors of four weights or fewer are lossless too (`survey`), and what ``apart``
    says stays apart.

    A size is never overshot, and met within 1 % unless nothing is left to tell; in files of less than some 300 bytes it
    may end a few bytes short, for a word of the coder has two and a table more. An SNR is never missed, and exceeded by
    less than 0.1 dB but for a few hundred weights. Steps are tried on 131,072 of the weights first, and then on all of
    them in at most 8 passes: three that learn the code lengths, and others that keep them. A network of 4 million
    weights or more has its code lengths from a larger sample, and mostly takes one pass, or two. Where bytes leap from
    one step to the next, a share of the finer trial is taken, and then the coarser; networks that are no larger than
    the sample are tried more often.

    A network of more than 2²² weights is never in memory as a whole: every pass asks for one tensor after the other,
    and what stays are its integers, mostly a byte each, until they are coded.

    Args:
        tensors: by name; may be a mapping that reads a tensor when it is asked for.
        budget: what is asked.
        tools: what the codec may use; `QUALITIES` names three sets.
        metadata: text that the file will have beside the tensors, for it is counted.
        watch: told of every pass.
        reference_bytes: of the uncompressed file, for a ratio.
        threads: tensors that are worked on at a time; the cores there are unless given. The file is the same.
        tuning: how the step is searched for.
        apart: what the budget counts and does not choose.
        importances: h by name, of the tensors' shapes: what is least is Σ h (w − ŵ)². Only their ratios matter; see
            `laconic.quantize.budget.weighing`. What a budget's SNR is of, and floors, stay Σ (w − ŵ)².
        names: every name of the file, in its order, with the one of its tensor in ``tensors``, where a tensor has
            several: it is stored and counted once, under all of them. Those of ``tensors`` unless given.
        ranks: of which this process is one: it reads and quantizes its own tensors, and those that stay as they are.
            Codes are the same on all, but that the numbers of some are on another rank. Without importances.

    Raises:
        PlanError: when no step meets the budget; it says what can be met.
        WeightsError: for NaN and infinite weights that are to be quantized, and for importances that are none.

    >>> weights = {"w": np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)}
    >>> fit(weights, Budget(bits=3)).file_bytes <= 3 * 10_000 / 8
    True
    """
    budget.require_of_weights()
    assert ranks is None or not importances, "importances are for one rank"
    assert ranks is None or (tools or QUALITIES["default"]).shared, "ranks have one set of tables"
    network = Network(
        tensors, tools or QUALITIES["default"], metadata or {}, replace(Workers.of(threads), ranks=ranks), apart,
        importances, names,
    )  # fmt: skip
    own = replace(tuning, below=math.inf) if network.weighed else tuning
    goal = _goal(network, budget, reference_bytes, own)
    try:
        return _met(network, goal, own, watch or (lambda number, size: None))
    except PlanError:
        if budget.asked or goal.size is None:
            raise
    room = Budget(size=2 * goal.size, asked=False)  # nobody asked for so little
    fitted = fit(
        tensors, room, tools, metadata, watch,
        threads=threads, tuning=tuning, apart=apart, importances=importances, names=names, ranks=ranks,
    )  # fmt: skip
    return replace(fitted, budget=budget)


def _met(network: Network, goal: Goal, tuning: Tuning, watch: Watch) -> Fitted:
    """Return the network within what is asked of it."""
    if not network.sizes:
        return settled(network, goal)
    quantizers, step = network.quantizers(goal.size, goal.target)
    if all(name in network.dense for name in network.sizes):  # each is cheaper as it is, or beyond the finest step
        return settled(network, goal)
    search = powered(Search(network, replace(goal, dense_bytes=network.dense_bytes), quantizers, tuning))
    return _floored(search, math.log2(step), watch)


def _goal(network: Network, budget: Budget, reference_bytes: int | None, tuning: Tuning) -> Goal:
    """Return what is asked of the network.

    Raises:
        PlanError: for a size that the other tensors and names alone take.
    """
    size = budget.bytes(network.elements, reference_bytes)
    target = network.rest / 10 ** ((budget.snr or 0) / 10) - (network.lost_apart if size is None else 0.0)
    least = network.dense_bytes + LEAST * len(network.sizes) if network.sizes else network.dense_bytes - 1
    if size is not None and size <= least and not budget.asked:
        size = least + 1 + (budget.bytes(network.weights, None) or 0)
    goal = Goal(budget, size, target, network.weights, network.dense_bytes, tuning, network.apart_bytes)
    if (size is not None and size <= least) or target < 0:
        raise goal.failure(None, network.heaviest)
    return goal


def _floored(search: Search, x: float, watch: Watch) -> Fitted:
    """Return the best of the trials, beginning at log₂ step ``x``, with finer steps for tensors below their floor."""
    finer, state = _rehearsed(search, x)
    try:
        fitted = _searched(finer, state, watch)
    except PlanError:  # there may be no room for more steps
        if finer is search:
            raise
        return _searched(search, _begun(search, x), watch)
    for _ in range(search.tuning.refits):
        again = raised(finer, fitted.signals, math.log2(fitted.step)) if fitted.step else finer
        if again is finer:
            break
        finer, state = _rehearsed(again, state.x)
        try:
            fitted = _searched(finer, state, watch)
        except PlanError:
            break
    return fitted


def _rehearsed(search: Search, x: float) -> tuple[Search, State]:
    """Return the search, with finer steps for tensors below their floor on the sample, and its state after that."""
    state = _begun(search, x)
    for _ in range(search.tuning.raises):
        assert state.last_trial is not None, "it was rehearsed"
        finer = raised(search, left(search, state.last_trial), state.last_trial.x)
        if finer is search:
            break
        search, state = finer, _begun(finer, state.x)
    return search, state


def _begun(search: Search, x: float) -> State:
    """Return the state after a rehearsal, beginning at log₂ step ``x``."""
    beside = float(search.network.dense_bytes + RECORD * len(search.network.sizes))
    return rehearse(search, State(Measure(beside), x))


def _searched(search: Search, state: State, watch: Watch) -> Fitted:
    """Return the best of the trials after a rehearsal."""
    goal = search.goal
    while state.result is None and state.passes < search.tuning.passes:
        state = learn(search, state) if state.passes < state.learning else hold(search, state)
        assert state.last_trial is not None, "a pass is a trial"
        watch(state.passes, round(state.last_trial.file_bytes))
        if state.passes == 1 and state.result is None and abs(state.last_trial.excess - goal.aim) > goal.slack:
            state = rehearse(search, replace(state, x=state.last_trial.x))
    return state.result or splice(search, state)


def learn(search: Search, state: State) -> State:
    """Return the state after a pass with the code lengths that the last trial's integers ask for.

    The step after it follows from the slope; after the last pass that learns, as after those that hold.
    """
    after = _passed(search, state, learning=True)
    assert after.last_trial is not None, "a pass is a trial"
    if after.passes >= after.learning:
        return _placed(search, after)
    way = (search.goal.aim - after.last_trial.excess) / after.slope
    return replace(after, x=search.held(after.last_trial.x + min(max(way, -1.0), 1.0)))


def hold(search: Search, state: State) -> State:
    """Return the state after a pass with the code lengths that the last trial had.

    Bytes follow the step, which is searched for between the passes that have these code lengths.
    """
    return _placed(search, _passed(search, state, learning=False))


def _placed(search: Search, state: State) -> State:
    """Return the state with the next step, from all passes with the same code lengths."""
    assert state.last_trial is not None, "there is a pass"
    seen = (*state.seen, (state.last_trial.x, state.last_trial.excess - search.goal.aim))
    return replace(state, seen=seen, x=search.held(between(seen, state.slope)))


def _passed(search: Search, state: State, *, learning: bool) -> State:
    """Return the state with one more pass: it is the result, or one of the best within the budget or beyond it."""
    assert state.last_trial is not None, "it was rehearsed"
    last_trial, measure = search.passed(state.last_trial, state.x, learning=learning)
    number, goal, result = state.passes + 1, search.goal, None
    if (number > 1 or search.large) and (goal.enough if number > 1 else goal.first) <= last_trial.excess <= 0:
        result = search.fitted(last_trial, number)
    inside, outside = state.inside, state.outside
    if last_trial.excess <= 0:
        inside = tuple(sorted([*inside, last_trial], key=lambda trial: trial.excess)[-2:])
    else:
        outside = tuple(sorted([*outside, last_trial], key=lambda trial: trial.excess)[:1])
    return replace(
        state, measure=measure, last_trial=last_trial, passes=number, inside=inside, outside=outside, result=result
    )
