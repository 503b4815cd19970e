"""Movement pruning: weights stay that training moves away from zero, whatever their size.

    S_i ← S_i − η (∂L/∂w'_i) w_i,    w' = w ⊙ mask,    mask ← the κ_t weights of largest S

S_i grows while a step makes |w_i| larger. It is learned by the same optimizer as w, with a straight-through estimator
for the mask, so that masked weights have scores that move, too. κ_t falls as in `laconic.lc.rivals.gradual`; ties, as
all are at first, go to the larger weight. A state has S where the LC algorithm has its multipliers.

Source: Sanh, Wolf & Rush, "Movement pruning: adaptive sparsity by fine-tuning" (NeurIPS 2020), equations 4 to 6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.joint import Joint
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.survivors import Support, joined, split
from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.gradual import RAMP
from laconic.lc.rivals.ranked import kept_largest, ranked
from laconic.lc.rivals.shares import cubic, thinner
from laconic.lc.rivals.through import Masks, following, masked, trained
from laconic.lc.state import LCState
from laconic.models.params import Params, to_numpy
from laconic.plans.plan import Row

_SCORE = "score of "


def movement(state: LCState, l_step: LearningStep, steps: int) -> Iterator[LCState]:
    """Yield ``state``, and the state after each step; arguments as `laconic.lc.rivals.rounds.rounds`.

    Raises:
        PlanError: for a row that keeps no share or number of single weights.
    """
    yield state
    kept_largest(state, "movement")
    for step in range(state.progress.step, steps):
        rows, masks = _chosen(state, thinner(state.rows, state.weights, cubic((step + 1) / (RAMP * steps)), "movement"))
        scores = {_SCORE + name: state.multipliers[name].reshape(-1) for name in masks}  # flat: nothing decays them
        numbers, loss = trained(state, l_step, partial(_entering, masks), scores)
        latent = {name: numbers[name] for name in state.weights}
        moved = {name: numbers[_SCORE + name].view(mask.shape) for name, mask in masks.items()}
        new = following(state, rows, masked(latent, masks), latent, loss)
        state = replace(new, multipliers={**state.multipliers, **moved})
        yield state


def _entering(masks: Masks, numbers: Params) -> Params:
    """Return the weights of the network, whose gradients reach weights that stay, and all scores."""
    scores = {name: numbers[_SCORE + name].view(mask.shape) for name, mask in masks.items()}
    own = {name: numbers[name] * (mask + scores[name] - scores[name].detach()) for name, mask in masks.items()}
    return {**numbers, **own}


def _chosen(state: LCState, rows: Sequence[Row]) -> tuple[list[Row], Masks]:
    """Return rows that keep the weights of largest scores, and which these are."""
    chosen, masks = list[Row](), dict[str, Tensor]()
    inners = [row.compression.of if isinstance(row.compression, Joint) else row.compression for row in rows]
    for row, inner, (names, kappa) in zip(rows, inners, ranked(state, rows), strict=True):
        assert isinstance(inner, KeepLargest), "single weights are ranked"
        flat = {name: to_numpy(state.multipliers[name]).reshape(-1) for name in names}
        sizes = joined({name: np.abs(to_numpy(state.weights[name]).reshape(-1)) for name in names})
        mask = np.zeros(len(sizes), bool)
        mask[np.lexsort((-sizes, -joined(flat)))[:kappa]] = True
        own = split(mask, flat)
        supported = KeepLargest(support=Support.where(own), values=inner.values)
        chosen.append(replace(row, compression=Joint(supported) if isinstance(row.compression, Joint) else supported))
        masks |= {
            name: torch.from_numpy(own[name]).view_as(state.weights[name]).to(state.weights[name]) for name in names
        }
    return chosen, masks
