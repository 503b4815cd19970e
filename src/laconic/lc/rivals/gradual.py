"""Gradual magnitude pruning: fewer and fewer weights while the network trains.

    s_t = s_f − s_f (1 − t/T')³,    mask ← the n (1 − s_t) weights of largest |w|,    w trains under the mask

Weights that are masked keep their values, get no gradient, and come back where others fall below them. The mask is
chosen anew at each step; it stands for the last quarter of the steps (T' = ¾ T).

Source: Zhu & Gupta, "To prune, or not to prune" (arXiv 1710.01878, 2017), equation 1.
"""

from collections.abc import Iterator

from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.shares import cubic, thinner
from laconic.lc.rivals.through import chosen, following, masked, trained
from laconic.lc.state import LCState
from laconic.plans.activity import remeasured

RAMP = 0.75
"""Share of the steps in which fewer and fewer weights stay."""


def gradual(state: LCState, l_step: LearningStep, steps: int) -> Iterator[LCState]:
    """Yield ``state``, and the state after each step; arguments and errors as `laconic.lc.rivals.rounds.rounds`."""
    yield state
    for step in range(state.progress.step, steps):
        rows = thinner(state.rows, state.weights, cubic((step + 1) / (RAMP * steps)), "gradual")
        rows = remeasured(rows, l_step.task, state.weights)
        masks = chosen(state, rows)
        latent, loss = trained(state, l_step, lambda numbers, masks=masks: masked(numbers, masks))  # type: ignore[misc]
        state = following(state, rows, masked(latent, masks), latent, loss)
        yield state
