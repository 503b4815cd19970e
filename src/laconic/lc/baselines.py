"""What the LC algorithm is measured against, by the names the field gives them.

* direct compression: `start` and nothing else;
* iterated direct compression (iDC): train, compress, train from there, compress, ...; it has no penalty to hold it;
* mask and retrain (magnitude pruning, Han et al. 2015; centroid fine-tuning): `start`, then `finetune`, which never
  reconsiders a choice.
"""

from collections.abc import Iterator
from dataclasses import replace

from laconic.lc.state import LCState
from laconic.lc.steps import LStep, c_step


def iterated_direct(state: LCState, l_step: LStep, steps: int) -> Iterator[LCState]:
    """Yield ``state`` and the states of iDC: `w ← train(Δ(Θ))`, `Θ ← project(w)`, ``steps`` times.

    Args:
        state: direct compression.
        l_step: called with μ = 0: the loss alone.
        steps: number of rounds.
    """
    yield state
    for _ in range(steps):
        weights, loss = l_step(replace(state, weights=state.params), 0.0)
        state = c_step(state, weights, 0.0, loss=loss, augmented=False)
        yield state
