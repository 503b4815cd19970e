"""A trained network that a recipe compresses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, final

from torch import Tensor

from laconic.experiments.recipes.recipe import Context
from laconic.training.task import Task

Effort = TypeVar("Effort")
"""What a recipe does with it, and for how long."""


@final
@dataclass(frozen=True, eq=False)
class Trained(Generic[Effort]):
    """A trained network that is compressed.

    Args:
        task: module, splits and loss; its training split is what LC sees.
        params: trained weights.
        effort: what is done, and for how long.
        context: of its share of the work.
        label: network and data set.
        note: how the network came about.
    """

    task: Task
    params: Mapping[str, Tensor]
    effort: Effort
    context: Context
    label: str = ""
    note: str = ""

    @property
    def weights(self) -> list[str]:
        """Names of the weights, from input to output; biases are none."""
        return [name for name, tensor in self.params.items() if tensor.ndim >= 2]

    def part(self, start: float, stop: float) -> "Trained[Effort]":
        """Return the same for a part of the work."""
        return replace(self, context=self.context.part(start, stop))
