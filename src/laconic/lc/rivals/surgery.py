"""Dynamic network surgery: pruned weights go on training, and come back when they have grown.

    T_i ← 0 where |w_i| < a,  1 where |w_i| ≥ b,  as it was between;      w ← w − η ∂L/∂(w ⊙ T)

The gradient is that of the masked network, and moves all weights, masked ones too. a and b are 0.9 and 1.1 times the
κ-th largest |w|, taken once a step, so that about κ stay; at the end of a step the κ largest of w ⊙ T are the network.
The mask is looked at before a batch with probability 1/(1 + 10⁻⁴ · batches so far), and stands for the last quarter of
the steps.

Source: Guo, Yao & Chen, "Dynamic network surgery for efficient DNNs" (NIPS 2016), equations 3 and 4; the probability
is that of their code. Departure: a and b, which are theirs from mean and deviation of a layer, follow κ.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.ranked import kept_largest, ranked
from laconic.lc.rivals.through import Masks, following, masked, masks_of, trained
from laconic.lc.state import LCState
from laconic.models.params import Params
from laconic.training.stochastic import straight_through

LOW, HIGH = 0.9, 1.1
"""a and b over the κ-th largest |w|."""

_RARER = 1e-4
_ENDS = 0.75


def surgery(state: LCState, l_step: LearningStep, steps: int) -> Iterator[LCState]:
    """Yield ``state``, and the state after each step; arguments as `laconic.lc.rivals.rounds.rounds`.

    Raises:
        PlanError: for a row that keeps no share or number of single weights.
    """
    yield state
    batches = l_step.task.count("train") * l_step.how.epochs
    kept_largest(state, "surgery")
    for step in range(state.progress.step, steps):
        masks = dict(masks_of(state.codes, state.weights))
        likely = 1 / (1 + _RARER * step * batches) if step < _ENDS * steps else 0.0
        latent, loss = trained(state, l_step, partial(_entering, masks, _thresholds(state), likely))
        state = following(state, state.rows, masked(latent, masks), latent, loss)
        yield state


def _entering(masks: dict[str, Tensor], thresholds: Mapping[str, float], likely: float, numbers: Params) -> Params:
    """Return the weights of the network, whose gradients reach all; ``masks`` are looked at before, or not."""
    if float(torch.rand(())) < likely:  # by torch's own generator, which training seeds for each epoch
        masks |= looked_at(numbers, masks, thresholds)
    own = {name: straight_through(numbers[name], numbers[name].detach() * mask) for name, mask in masks.items()}
    return {**numbers, **own}


def looked_at(weights: Params, masks: Masks, thresholds: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the masks after a look at the sizes of the weights: between a and b they stay as they are.

    >>> masks = {"w": torch.tensor([1.0, 1.0, 0.0, 0.0])}
    >>> looked_at({"w": torch.tensor([0.5, -1.0, 1.0, -2.0])}, masks, {"w": 1.0})["w"]
    tensor([0., 1., 0., 1.])
    """
    new = {}
    for name, mask in masks.items():
        size, middle = weights[name].detach().abs(), thresholds[name]
        new[name] = torch.where(size < LOW * middle, 0.0, torch.where(size >= HIGH * middle, 1.0, mask)).to(mask)
    return new


def _thresholds(state: LCState) -> dict[str, float]:
    """Return by tensor the size of the κ-th largest weight of those that it is compressed with; ∞ where κ is 0."""
    found = dict[str, float]()
    for names, kappa in ranked(state, state.rows):
        sizes = torch.cat([state.weights[name].detach().abs().reshape(-1) for name in names])
        middle = float(sizes.topk(kappa).values[-1]) if kappa else float("inf")
        found |= dict.fromkeys(names, middle)
    return found
