"""Iterative pruning: rank units, take some away, train what is left, and again.

    repeat   S ← the κ_t best of S by the score;   w ← argmin L(w)  over w that are 0 outside S

What is gone is gone: a round begins with the weights that the last one has left, and looks at no others. The same share
of what is left goes in each of T rounds, κ_t = n (κ/n)^(t/T). An activity is counted anew in each.

Source: the loop of Han et al., "Learning both weights and connections" (NIPS 2015), with units for weights as Li et
al., "Pruning filters for efficient ConvNets" (ICLR 2017), and Hu et al., "Network trimming" (arXiv 1607.03250, 2016).
"""

from collections.abc import Iterator

from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.shares import geometric, thinner
from laconic.lc.rivals.through import chosen, following, masked, trained
from laconic.lc.state import LCState
from laconic.plans.activity import remeasured


def rounds(state: LCState, l_step: LearningStep, steps: int) -> Iterator[LCState]:
    """Yield ``state``, and the state after each round.

    Args:
        state: direct compression, or the state after a round.
        l_step: training of a round.
        steps: T.

    Raises:
        PlanError: for a row that keeps no share.
    """
    yield state
    for step in range(state.progress.step, steps):
        rows = thinner(state.rows, state.weights, geometric((step + 1) / steps), "rounds")
        rows = remeasured(rows, l_step.task, state.weights)
        masks = chosen(state, rows)
        weights, loss = trained(state, l_step, lambda numbers, masks=masks: masked(numbers, masks))  # type: ignore[misc]
        left = masked(weights, masks)
        state = following(state, rows, left, left, loss)
        yield state
