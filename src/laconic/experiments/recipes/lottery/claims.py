"""What both papers claim, and ours, with what the networks here say."""

from collections.abc import Mapping, Sequence

import numpy as np

from laconic.experiments.recipes.bootstrap import interval, over_seeds
from laconic.experiments.recipes.lottery.runs import CONTROLS, DENSE, LC, SCRATCH_B, SCRATCH_E, TICKET, TUNED, Row
from laconic.experiments.recipes.statement import Judged, lies_below, lower
from laconic.experiments.recipes.verdict import DRAWS, LEVEL, Answer, Curve

LOTTERY, RETHINKING, OURS = "Frankle & Carbin 2019", "Liu et al. 2019", "conjecture"

MARGIN = 0.2
"""Points of error within which two networks count as equally good."""

_NOT = "–"


def judged(rows: Sequence[Row], printed: tuple[str, str, str], seed: int) -> list[Judged]:
    """Return all verdicts; errors are those after the last step, but where tickets are compared with dense networks.

    Args:
        rows: of all seeds.
        printed: as `Effort` has it.
        seed: of the resamples.
    """
    dense_step, other_step, better_by = (f"{LOTTERY}: {said}" for said in printed)
    compared, dense = _compared(rows), (TICKET, 0)
    found = [
        _sooner("the ticket of 21 % reaches its least validation loss earlier than the dense network",
                dense_step, _step(rows, TICKET, [7]), _step(rows, TICKET, [0])),
        _better(rows, 9, "the ticket of 13.5 % has a lower error than the dense network, each at that step",
                better_by, seed),
        _as_good(rows, [((TICKET, 15), dense)], "early", "the ticket of 3.6 % is as good as the dense network",
                 LOTTERY, seed),
        _sooner("a ticket reaches its least validation loss earlier than its mask with other first weights",
                other_step, _step(rows, TICKET, compared),
                _step(rows, CONTROLS[0], compared)),
    ]  # fmt: skip
    curves = (
        (TICKET, CONTROLS[0], "a ticket has a lower error than its mask with other first weights", LOTTERY),
        (TICKET, CONTROLS[1], "a ticket has a lower error than its first weights with the mask shuffled", LOTTERY),
        (TICKET, CONTROLS[2], "a ticket has a lower error than its first weights with random places", LOTTERY),
        (LC, TICKET, "LC has a lower error than tickets of the same density", OURS),
        (TICKET, DENSE, "a ticket has a lower error than a small dense network of as many bytes", OURS),
        (LC, DENSE, "LC has a lower error than a small dense network of as many bytes as the ticket", OURS),
    )
    for better, worse, text, place in curves:
        if all(any(row.method == method for row in rows) for method in (better, worse)):
            found.append(lower(text, place, _curve(rows, better), _curve(rows, worse), seed))
    if any(row.method == LC for row in rows):
        pairs = [((CONTROLS[0], level), (LC, level)) for level in compared]
        text = "from other first weights, the mask of a ticket is as good as a network pruned by training (LC)"
        found.append(_as_good(rows, pairs, "last", text, f"{RETHINKING}, but on ImageNet", seed))
    for at in sorted({row.level for row in rows if row.method == TUNED}):
        share = 100 * next(row.density for row in rows if (row.method, row.level) == (TUNED, at))
        for method in (SCRATCH_E, SCRATCH_B):
            text = f"{method} is as good as the pruned and fine-tuned network, {share:.0f} % of the weights"
            found.append(_as_good(rows, [((method, at), (TUNED, at))], "last", text, RETHINKING, seed))
    return found


def _own(rows: Sequence[Row], method: str, level: int) -> dict[int, list[Row]]:
    """Return the rows of a method at a level by seed; there are several where first weights are drawn several times."""
    own = [row for row in rows if (row.method, row.level) == (method, level)]
    return {seed: [row for row in own if row.seed == seed] for seed in sorted({row.seed for row in own})}


def _errors(rows: Sequence[Row], method: str, level: int, which: str) -> np.ndarray:
    """Return what each test sample costs under each seed, the mean over draws, shape (samples, seeds)."""
    own = _own(rows, method, level).values()
    return np.stack([np.mean([getattr(row, which) for row in part], axis=0) for part in own], axis=1)


def _compared(rows: Sequence[Row]) -> list[int]:
    """Return the levels at which tickets have controls."""
    return sorted({row.level for row in rows if row.method == CONTROLS[0]})


def _curve(rows: Sequence[Row], method: str) -> Curve:
    """Return errors after the last step, means over seeds and draws, over the levels that are compared.

    Curves go by level and not by share, so that what is compared stands beside each other.
    """
    compared = _compared(rows)
    costs = [_errors(rows, method, level, "last").mean(1) for level in compared]
    return Curve(np.array(compared, np.float64), np.array(costs))


def _gap(
    rows: Sequence[Row], one: tuple[str, int], other: tuple[str, int], which: str, seed: int
) -> tuple[float, float, str]:  # fmt: skip
    """Return the interval of how much larger the error of one is, in points, by samples and seeds; and it in words."""
    gaps = _errors(rows, *one, which) - _errors(rows, *other, which)
    means = 100 * over_seeds(gaps, DRAWS, np.random.default_rng(seed))
    (low,), (high,) = interval(means, LEVEL)
    return float(low), float(high), f"{100 * gaps.mean():+.2f} points, {low:+.2f} to {high:+.2f} with 95 %"


def _better(rows: Sequence[Row], level: int, text: str, place: str, seed: int) -> Judged:
    """Return whether a ticket has a lower error than the dense network, each at its least validation loss."""
    if not _own(rows, TICKET, level):
        return Judged(text, place, "not measured", _NOT)
    low, high, words = _gap(rows, (TICKET, level), (TICKET, 0), "early", seed)
    return Judged(text, place, lies_below(low, high), words)


def _as_good(
    rows: Sequence[Row], pairs: Sequence[tuple[tuple[str, int], tuple[str, int]]], which: str, text: str, place: str,
    seed: int,
) -> Judged:  # fmt: skip
    """Return whether the error of the first of each pair is at most the margin above that of the second."""
    if not all(_own(rows, *one) for one, _ in pairs):
        return Judged(text, place, "not measured", _NOT)
    gaps = [_gap(rows, one, other, which, seed) for one, other in pairs]
    holds, fails = all(high <= MARGIN for _, high, _ in gaps), any(low > MARGIN for low, _, _ in gaps)
    answer: Answer = "holds" if holds else "does not hold" if fails else "undecided"
    return Judged(text, place, answer, f"{'; '.join(words for *_, words in gaps)}: within {MARGIN:g} points?")


def _step(rows: Sequence[Row], method: str, levels: Sequence[int]) -> dict[int, float]:
    """Return by seed the step of the least validation loss, the mean over levels and draws."""
    own = [row for level in levels for part in _own(rows, method, level).values() for row in part]
    steps = {seed: [row.step for row in own if row.seed == seed] for seed in sorted({row.seed for row in own})}
    return {seed: float(np.mean([step for step in part if step is not None])) for seed, part in steps.items()}


def _sooner(text: str, place: str, one: Mapping[int, float], other: Mapping[int, float]) -> Judged:
    """Return whether steps are fewer under every seed: one seed alone tells nothing."""
    seeds = one.keys() & other.keys()
    if not seeds:
        return Judged(text, place, "not measured", _NOT)
    gaps = [one[seed] - other[seed] for seed in seeds]
    answer: Answer = "undecided"
    if len(gaps) > 1:
        answer = "holds" if max(gaps) < 0 else "does not hold" if min(gaps) > 0 else "undecided"
    words = ", ".join(f"{one[seed]:,.0f} and {other[seed]:,.0f}" for seed in sorted(seeds))
    return Judged(text, place, answer, f"steps by seed: {words}; it takes all seeds")
