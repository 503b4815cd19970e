"""Files between two trials, one within the budget and one beyond it."""

from collections.abc import Iterator

from laconic.quantize.budget.budget import NEAR, Fitted
from laconic.quantize.budget.signal import decibels
from laconic.quantize.budget.state import Search, State, Trial
from laconic.quantize.lattice.secant import between


def splice(search: Search, state: State) -> Fitted:
    """Return the best result where no pass has met the budget closely.

    Raises:
        PlanError: when nothing that was tried is within the budget.
    """
    inside, outside, most = state.inside, state.outside, search.tuning.passes
    result = _exact(search, state) if inside and inside[-1].x <= search.held(float("-inf")) else None
    for trial in reversed(inside):
        result = result or search.fitted(trial, most)
    if result and inside and outside:
        result = min([result, *_between(search, state)], key=lambda one: _worse(search, one))
    if result is None:
        raise search.goal.failure(state.last_trial.file_bytes if state.last_trial else None, search.network.heaviest)
    return result


def _exact(search: Search, state: State) -> Fitted | None:
    """Return all tensors as they are where there is room for them: beyond the finest step nothing else helps."""
    network, goal = search.network, search.goal
    codes = network.lossless(network.tensors)
    size = network.file_bytes(codes)
    if goal.size is None or size > goal.size:
        return None
    snr = decibels(network.energy, network.lost_apart)
    return Fitted(
        network.named(codes), goal.budget, size, snr, 0.0, search.tuning.passes,
        tuple(name for name in network.tensors if name in network.sizes or name in network.kept_exactly),
        network.elements, network.signals_apart,
    )  # fmt: skip


def _worse(search: Search, result: Fitted) -> tuple[bool, float]:
    """Return what is least where a result within the budget is best: first that a size is met, then the error."""
    if search.goal.size is None:
        return False, result.file_bytes
    return result.file_bytes < search.goal.size * (1 - NEAR), -result.snr


def _between(search: Search, state: State) -> list[Fitted]:
    """Return what lies between the last trial within the budget and the first beyond it, and is within it.

    In a network no larger than the sample steps between them are tried, which costs no more than on the sample.
    Then shares of the finer trial, the rest the coarser; that takes no pass. Between steps that are too far apart
    for their integers to mean the same, the error grows.
    """
    coarse, fine = state.inside[-1], state.outside[0]
    if not search.network.kept or any(
        a.scales is not b.scales for a, b in zip(fine.groups, coarse.groups, strict=True)
    ):
        return []
    for _ in range(search.tuning.trials if search.network.weights <= search.tuning.rehearsed else 0):
        if coarse.excess >= search.goal.enough or abs(fine.x - coarse.x) < search.tuning.next:
            break
        trial, _ = search.passed(coarse, (fine.x + coarse.x) / 2, learning=False)
        coarse, fine = (trial, fine) if trial.excess <= 0 else (coarse, trial)
    known = search.fitted(coarse, search.tuning.passes)
    least = known.snr - search.tuning.loss if known and search.goal.size is not None else float("-inf")
    shared = (search.fitted(trial, search.tuning.passes) for trial in _shares(search, fine, coarse))
    return [*([known] if known else []), *(one for one in shared if one and one.snr > least)]


def _shares(search: Search, fine: Trial, coarse: Trial) -> Iterator[Trial]:
    """Give trials that are a share of the finer one and then the coarser, until one meets the budget closely."""
    aim, enough = search.goal.aim, search.goal.enough
    seen = [(1.0, fine.excess - aim), (0.0, coarse.excess - aim)]
    while len(seen) < search.tuning.shares and not enough <= seen[-1][1] + aim <= 0:
        share = between(seen, 1.0)
        pairs = zip(search.quantizers, fine.groups, coarse.groups, strict=True)
        trial, _ = search.filed(coarse.x, [quantizer.between(a, b, share) for quantizer, a, b in pairs])
        yield trial
        seen.append((share, trial.excess - aim))
