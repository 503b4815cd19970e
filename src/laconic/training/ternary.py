"""Weights of three values, of which the two that are not 0 are trained.

    w_t = p where w > Δ,  −n where w < −Δ,  else 0            Δ = t · max |w| of the tensor

p and n have the gradients of the weights that they are; real weights w are kept, and have the gradient at w_t.
"""

import math
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import final

from torch import Tensor
from torch.optim import Optimizer

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.training.binary import REAL
from laconic.training.latent import Latent, matrices
from laconic.training.loop import Penalty

_UP, _DOWN = " up", " down"


@final
@dataclass(frozen=True)
class TrainedTernary(Latent):
    """Trained ternary quantization (TTQ): −n, 0 and p for each tensor, n and p learned by gradients.

    They begin as the means of what they stand for. Of a tensor of N weights √N p and √N n are trained: a step moves the
    tensor then by as much as its gradient, and one learning rate does for them and for the weights.

    Source: Zhu, Han, Mao & Dally, "Trained ternary quantization" (ICLR 2017), equations 6 to 9, Δ with their t = 0.05.
    Departures: √N; real weights keep their own size, where theirs are divided by max |w|, and have the gradient at w_t
    as it is, where theirs have p or n times it. (In ternary weight networks, Li & Liu 2016, one scale is computed from
    the weights, and none is learned.)

    Args:
        threshold: t, from 0 to below 1.
        names: tensors that are ternary; None for all of two axes or more that training moves.

    Raises:
        PlanError: for any other threshold.

    >>> ternary = TrainedTernary(0.1)
    >>> numbers = ternary.parts({"w": Tensor([[-4.0, 0.2], [1.0, 3.0]])}, ["w"])
    >>> ternary.judged(numbers)["w"]
    tensor([[-4.,  0.],
            [ 2.,  2.]])
    """

    threshold: float = 0.05
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise PlanError(f"threshold is a share of the largest weight, from 0 to below 1, not {self.threshold}")

    def parts(self, weights: Params, moved: Collection[str]) -> dict[str, Tensor]:
        """Return the real weights, and beside each √N p and √N n."""
        chosen, numbers = matrices(weights, moved, self.names), dict[str, Tensor]()
        for name, tensor in weights.items():
            if name not in chosen:
                numbers[name] = tensor
                continue
            real, root = tensor.detach(), math.sqrt(tensor.numel())
            numbers[name + REAL] = real.clone()
            for side, is_there in zip((_UP, _DOWN), self._sides(real), strict=True):
                magnitudes = real[is_there] if bool(is_there.any()) else real
                numbers[name + side] = root * magnitudes.abs().mean().reshape(1)
        return numbers

    def whole(self, numbers: Params) -> dict[str, Tensor]:
        """Return the ternary weights, which hand their gradients on."""
        weights = dict[str, Tensor]()
        for key, tensor in numbers.items():
            name = key.removesuffix(REAL)
            if name != key:
                up, down = (numbers[name + side] / math.sqrt(tensor.numel()) for side in (_UP, _DOWN))
                above, below = (side.to(tensor) for side in self._sides(tensor.detach()))
                weights[name] = up * above - down * below + (tensor - tensor.detach())
            elif not key.endswith((_UP, _DOWN)):
                weights[key] = tensor
        return weights

    def judged(self, numbers: Params) -> dict[str, Tensor]:
        """Return the ternary weights."""
        return {name: tensor.detach() for name, tensor in self.whole(numbers).items()}

    def penalty(self, numbers: Params) -> Penalty | None:
        """Return None."""
        return None

    def between(self, optimizer: Optimizer, numbers: Params) -> AbstractContextManager[None]:
        """Return a context in which nothing happens between steps."""
        return nullcontext()

    def _sides(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return which weights are p, and which −n."""
        delta = self.threshold * real.abs().max()
        return real > delta, real < -delta
