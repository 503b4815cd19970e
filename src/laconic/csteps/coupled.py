"""Channels that lie in several tensors: so many of a set stay, and each stays or goes in all of them together.

    max over S   Σ_{c in S} Σ_{slots of c} Σ_i h_i w_i²   subject to   |S| = κ        for each set by itself

A weight at which channels of two sets cross, such as one of a convolution between them, counts for both: exact where no
set crosses another, greedy else. Ties go to the earlier channel. O(P) for the tensors of the sets.

Source: sums over coupled layers as Fang et al., "DepGraph: towards any structural pruning" (CVPR 2023).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.csteps.keep_groups import unmeasured
from laconic.csteps.survivors import root_losses
from laconic.errors import PlanError
from laconic.models.channels.atoms import Slot
from laconic.models.params import Params, to_numpy
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class ChannelSet:
    """Channels of which so many stay.

    Args:
        channels: of each its slots: indices of axes of tensors.
        stay: how many.
        score: "l2", the sum of h w² of all weights in its slots; "l1", that of |w|; or "activity", how often a channel
            is not 0 on data, which is no projection, whatever the weights.
        scores: of "activity", a number for each channel; the metric breaks ties.
    """

    channels: tuple[tuple[Slot, ...], ...]
    stay: int
    score: str = "l2"
    scores: tuple[float, ...] | None = None

    @property
    def names(self) -> frozenset[str]:
        """Tensors in which the channels lie."""
        return frozenset(slot.name for channel in self.channels for slot in channel)

    def gone(self, weights: Params, metrics: Metrics) -> list[Slot]:
        """Return the slots of the channels that do not stay.

        Raises:
            PlanError: for an activity that has not been measured.
        """
        if self.score == "activity" and self.scores is None:
            raise PlanError(unmeasured(self.names))
        sums: dict[tuple[str, int], np.ndarray] = {}
        for name, axis in {(slot.name, slot.axis) for channel in self.channels for slot in channel}:
            tensor = weights[name]
            if self.score == "l1":
                losses = to_numpy(tensor).astype(np.float64).reshape(-1)
            else:
                losses = np.maximum(root_losses(name, tensor, metrics), 0.0).astype(np.float64) ** 2
            losses = np.moveaxis(np.abs(losses).reshape(tuple(tensor.shape)), axis, 0)
            sums[name, axis] = losses.reshape(len(losses), -1).sum(axis=1)
        weight = np.array([sum(sums[slot.name, slot.axis][slot.at] for slot in channel) for channel in self.channels])
        order = np.lexsort((-weight, -weight if self.scores is None else -np.array(self.scores)))
        return [slot for number in order[self.stay :] for slot in self.channels[number]]


@final
@dataclass(frozen=True)
class Coupling:
    """What goes together in a network.

    Args:
        sets: of channels.
    """

    sets: tuple[ChannelSet, ...]

    def of(self, names: Iterable[str]) -> "Coupling":
        """Return the sets in which some tensors have a part."""
        some = {*names}
        return Coupling(tuple(one for one in self.sets if one.names & some))

    def masks(self, weights: Params, metrics: Metrics | None = None) -> dict[str, np.ndarray]:
        """Return which weights stay of each tensor in which channels lie, bool of its shape.

        Args:
            weights: all of these tensors, and perhaps others.
            metrics: of these; see `laconic.csteps.survivors.root_losses`.

        >>> import torch
        >>> pair = ChannelSet(((Slot("a", 0, 0), Slot("b", 1, 0)), (Slot("a", 0, 1), Slot("b", 1, 1))), stay=1)
        >>> masks = Coupling((pair,)).masks({"a": torch.tensor([[1.0], [2.0]]), "b": torch.tensor([[3.0, 0.0]])})
        >>> masks["a"].tolist(), masks["b"].tolist()
        ([[True], [False]], [[True, False]])
        """
        names = {name for one in self.sets for name in one.names}
        masks = {name: np.ones(tuple(weights[name].shape), bool) for name in weights if name in names}
        for one in self.sets:
            for slot in one.gone(weights, metrics or {}):
                np.moveaxis(masks[slot.name], slot.axis, 0)[slot.at] = False
        return masks
