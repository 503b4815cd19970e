"""What both papers claim, and ours, with what the networks here say."""

from collections.abc import Sequence

import numpy as np

from laconic.experiments.recipes.bootstrap import interval, over_seeds
from laconic.experiments.recipes.lottery.runs import DENSE, LC, SCRATCH_B, SCRATCH_E, TICKET, TUNED, Row
from laconic.experiments.recipes.statement import Judged, lies_below, lower
from laconic.experiments.recipes.verdict import DRAWS, LEVEL, Answer, Curve

LOTTERY, RETHINKING, OURS = "Frankle & Carbin 2019", "Liu et al. 2019", "conjecture"

MARGIN = 0.2
"""Points of error within which two networks count as equally good."""

_NOT = "–"


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return all verdicts; errors are those after the last step, but where tickets are compared with dense networks."""
    found = [
        _faster(rows, 7, "the ticket of 21 % reaches its least validation loss earlier than the dense network",
                f"{LOTTERY}: 38 % earlier"),
        _better(rows, 9, "the ticket of 13.5 % has a lower error than the dense network, each at that step",
                f"{LOTTERY}: by 0.3 points", seed),
        _as_good(rows, (TICKET, 15), (TICKET, 0), "the ticket of 3.6 % is as good as the dense network", LOTTERY, seed),
        _slower(rows, "re-initialised, the mask of a ticket takes longer to its least validation loss"),
    ]  # fmt: skip
    curves = (
        (TICKET, "re-initialised", "a ticket has a lower error than its mask with other first weights", LOTTERY),
        (TICKET, "shuffled", "a ticket has a lower error than its first weights with the mask shuffled", LOTTERY),
        (TICKET, "random", "a ticket has a lower error than its first weights with random places", LOTTERY),
        ("re-initialised", LC, "trained from scratch, a mask has a lower error than a network pruned by training",
         f"{RETHINKING}: as low, but on ImageNet"),
        (LC, TICKET, "LC has a lower error than tickets of the same density", OURS),
        (TICKET, DENSE, "a ticket has a lower error than a small dense network of as many bytes", OURS),
        (LC, DENSE, "LC has a lower error than a small dense network of as many bytes as the ticket", OURS),
    )  # fmt: skip
    for better, worse, text, place in curves:
        if all(any(row.method == method for row in rows) for method in (better, worse)):
            found.append(lower(text, place, _curve(rows, better), _curve(rows, worse), seed))
    for at in sorted({row.level for row in rows if row.method == TUNED}):
        share = 100 * _own(rows, TUNED, at)[0].density
        for method in (SCRATCH_E, SCRATCH_B):
            text = f"{method} is as good as the pruned and fine-tuned network, {share:.0f} % of the weights"
            found.append(_as_good(rows, (method, at), (TUNED, at), text, RETHINKING, seed))
    return found


def _own(rows: Sequence[Row], method: str, level: int) -> list[Row]:
    """Return the rows of a method at a level, in the order of their seeds."""
    return sorted((row for row in rows if (row.method, row.level) == (method, level)), key=lambda row: row.seed)


def _curve(rows: Sequence[Row], method: str) -> Curve:
    """Return errors after the last step, means over seeds and draws, over the levels that are compared.

    Curves go by level and not by share, so that what is compared stands beside each other.
    """
    compared = sorted({row.level for row in rows if row.method == "re-initialised"})
    costs = [np.mean([row.last for row in _own(rows, method, level)], axis=0) for level in compared]
    return Curve(np.array(compared, np.float64), np.array(costs))


def _gap(
    rows: Sequence[Row], one: tuple[str, int], other: tuple[str, int], which: str, seed: int
) -> tuple[float, float, str]:  # fmt: skip
    """Return the interval of how much larger the error of one is, in points, by samples and seeds; and it in words."""
    pairs = zip(_own(rows, *one), _own(rows, *other), strict=True)
    gaps = np.stack([getattr(a, which) - getattr(b, which) for a, b in pairs], axis=1)
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
    rows: Sequence[Row], one: tuple[str, int], other: tuple[str, int], text: str, place: str, seed: int
) -> Judged:  # fmt: skip
    """Return whether the error of one is at most the margin above that of the other."""
    if not _own(rows, *one):
        return Judged(text, place, "not measured", _NOT)
    low, high, words = _gap(rows, one, other, "early", seed)
    answer: Answer = "holds" if high <= MARGIN else "does not hold" if low > MARGIN else "undecided"
    return Judged(text, place, answer, f"{words}; within {MARGIN:g} points")


def _faster(rows: Sequence[Row], level: int, text: str, place: str) -> Judged:
    """Return whether a ticket reaches its least validation loss before the dense network, under every seed."""
    pairs = [(a.step, b.step) for a, b in zip(_own(rows, TICKET, level), _own(rows, TICKET, 0), strict=False)]
    return _steps(text, place, [(a, b) for a, b in pairs if a is not None and b is not None])


def _slower(rows: Sequence[Row], text: str) -> Judged:
    """Return whether tickets reach their least validation loss before their masks with other first weights do."""
    levels = sorted({row.level for row in rows if row.method == "re-initialised"})
    own = [(_own(rows, TICKET, level), _own(rows, "re-initialised", level)) for level in levels]
    seeds = sorted({row.seed for row in rows})
    pairs = list[tuple[float, float]]()
    for seed in seeds:
        steps = [[row.step for part in side for row in part if row.seed == seed] for side in zip(*own, strict=True)]
        one, other = ([step for step in side if step is not None] for side in steps)
        pairs += [(float(np.mean(one)), float(np.mean(other)))] if one and other else []
    return _steps(text, f"{LOTTERY}: 2.4 times as long at 21 %", pairs)


def _steps(text: str, place: str, pairs: Sequence[tuple[float, float]]) -> Judged:
    """Return whether the first of each pair of steps, one for each seed, is the smaller: one alone tells nothing."""
    if not pairs:
        return Judged(text, place, "not measured", _NOT)
    gaps = [a - b for a, b in pairs]
    answer: Answer = "undecided"
    if len(pairs) > 1:
        answer = "holds" if max(gaps) < 0 else "does not hold" if min(gaps) > 0 else "undecided"
    words = ", ".join(f"{a:,.0f} and {b:,.0f}" for a, b in pairs)
    return Judged(text, place, answer, f"steps by seed: {words}; it takes all seeds")
