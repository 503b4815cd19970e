"""What is trained in place of a network's weights: other numbers, of which the weights are a function."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager

from torch import Tensor
from torch.optim import Optimizer

from laconic.errors import PlanError
from laconic.models.params import Params, require_finite
from laconic.training.loop import Penalty


class Latent(ABC):
    """Numbers that the optimizer moves, the weights that a forward pass sees for them, and those that are judged."""

    @abstractmethod
    def parts(self, weights: Params, moved: Collection[str]) -> dict[str, Tensor]:
        """Return the numbers that are trained for the weights of the names ``moved``, and the other ``weights``.

        Raises:
            PlanError: when no tensor that moves can be trained so.
        """

    @abstractmethod
    def whole(self, numbers: Params) -> dict[str, Tensor]:
        """Return the weights that ``numbers`` of `parts` stand for in training, by the names and shapes they had."""

    @abstractmethod
    def judged(self, numbers: Params) -> dict[str, Tensor]:
        """Return the weights that come of training: they are evaluated, and written; without a graph."""

    @abstractmethod
    def penalty(self, numbers: Params) -> Penalty | None:
        """Return what is added to the loss beside."""

    @abstractmethod
    def between(self, optimizer: Optimizer, numbers: Params) -> AbstractContextManager[None]:
        """Return the context of an epoch, in which ``numbers`` are changed between the steps of ``optimizer``.

        Raises:
            PlanError: for an optimizer that it does not go with.
        """


def matrices(weights: Params, moved: Collection[str], names: Collection[str] | None = None) -> list[str]:
    """Return which tensors get few values: those of ``names``, or all of two axes or more, among those that move.

    Args:
        weights: by name.
        moved: names of those that training moves.
        names: the ones that are wanted; None for all.

    Raises:
        PlanError: when there is none, or one of ``names`` is not among them.
        WeightsError: when one holds a NaN or an infinity.
    """
    found = [name for name in moved if weights[name].ndim >= 2 and weights[name].numel()]
    if names is not None and (strange := sorted(set(names) - set(found))):
        raise PlanError(
            f"{', '.join(strange)}: names are tensors of two axes or more that training moves: {', '.join(found)}"
        )
    chosen = [name for name in found if names is None or name in names]
    if not chosen:
        raise PlanError(
            f"none of the tensors that training moves ({', '.join(moved) or 'there are none'}) has two axes or more, "
            "so there is no weight of few bits to train"
        )
    for name in chosen:
        require_finite(name, weights[name])
    return chosen
