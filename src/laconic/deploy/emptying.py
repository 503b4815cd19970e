"""What nobody reads is emptied: channels whose weights can go without a change of the outputs.

    S₀ = ∅,   S_{k+1} = S_k ∪ {channels that only S_k reads}       until nothing is added

A channel is read where a weight that is not 0 multiplies it, unless the channel is 0 for every input. A channel that
is another constant goes into the next bias where that is exact: every output has to see it alike, so there is no
padding. A channel that nobody reads loses its own weights, and what it read may now be read by nobody.

Each round is one run (`laconic.models.channels.trace`); a chain of n layers that feed nothing takes n of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.models.channels.run import Fold
from laconic.models.channels.trace import Traced, traced

_ROUNDS = 1000


@final
@dataclass(frozen=True, eq=False)
class Emptied:
    """A network without what nobody reads.

    Args:
        module: the network; its idle channels have weights of 0, its shapes are what they were.
        traced: its last run.
        folded: names of biases that hold constants now, and of the weights that read these.
    """

    module: nn.Module
    traced: Traced
    folded: tuple[str, ...]


def empty(module: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any] | None = None) -> Emptied:
    """Empty all channels that nobody reads, in place.

    Args:
        module: the network, with its weights; on the CPU.
        inputs: positional arguments of an example.
        named: its named ones.
    """
    folded: dict[str, None] = {}
    seen, own = traced(module, inputs, named), dict(module.named_parameters())
    for _ in range(_ROUNDS):
        folds = [fold for fold in seen.run.folds if _is_alone(fold, seen)]
        for fold in folds:
            _fold(own, fold)
            folded |= {fold.bias: None, fold.weight: None}
        moved = _emptied(own, seen)
        if not folds and not moved:
            break
        seen = traced(module, inputs, named)
    return Emptied(module, seen, tuple(folded))


def _is_alone(fold: Fold, seen: Traced) -> bool:
    """Say whether weight and bias are of one layer that runs once."""
    return seen.run.reads[fold.weight] == seen.run.reads[fold.bias] == 1


@torch.no_grad()
def _fold(own: Mapping[str, Tensor], fold: Fold) -> None:
    """Put constants that a layer reads into its bias, and their columns to 0."""
    bias, weight = own[fold.bias], own[fold.weight]
    bias.copy_((bias.double() + fold.delta.to(bias.device)).to(bias.dtype))
    weight.index_fill_(fold.axis, torch.tensor(fold.columns, device=weight.device), 0.0)


@torch.no_grad()
def _emptied(own: Mapping[str, Tensor], seen: Traced) -> bool:
    """Put the parameters of idle channels to 0, and say whether one was not."""
    places: dict[tuple[str, int], list[int]] = {}
    for root in sorted(seen.idle):
        for slot in seen.sets[root]:
            if slot.name in own:
                places.setdefault((slot.name, slot.axis), []).append(slot.at)
    moved = False
    for (name, axis), indices in places.items():
        index = torch.tensor(indices, device=own[name].device)
        moved |= bool(own[name].index_select(axis, index).any())
        own[name].index_fill_(axis, index, 0.0)
    return moved
