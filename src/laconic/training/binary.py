"""Weights of one bit: binary in every forward pass, real between steps of the optimizer.

    w_b = H sign(w),  sign(0) = +1           or    w_b = +H with probability clip((w/H + 1)/2, 0, 1), else −H
    w ← clip(w − step(∂L/∂w_b), −H, H)

The gradient at the binary weight is the real weight's: straight through, as that of H · Htanh(w/H) is within ±H, which
no real weight leaves.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor
from torch.optim import Optimizer

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.training.latent import Latent, matrices
from laconic.training.loop import Penalty
from laconic.training.stochastic import stochastic_round

Scale = Literal["glorot", "mean", "none"]

REAL = " real"
"""Behind the name of a weight: the real numbers of which it has few values."""


@final
@dataclass(frozen=True)
class BinaryConnect(Latent):
    """BinaryConnect: weights are ±H in the forward pass, by their sign or drawn, and real ones are kept and clipped.

    H of a tensor is, by ``scale``,

    * "glorot": √(1.5 / (inputs + outputs)), of a kernel each times its places: half the width of Glorot's uniform
      distribution, one of the choices in the authors' code. What a layer writes then has the size of what it reads,
      so that networks without batch normalization train as they do with real weights;
    * "none": 1, as in the paper's equations; for networks whose layers are followed by batch normalization, which takes
      any scale away. Rates are other ones then: the paper multiplies those of SGD by 1/H² of "glorot";
    * "mean": the mean of |w|, with w in ±1: the scale of XNOR-Net, of each tensor and not of each filter.

    Real weights are within ±H ("mean": ±1) from the start. What is judged are the binary weights where signs are taken,
    and the real ones where they are drawn, as in the paper (section 2.6, methods 1 and 2).

    Source: Courbariaux, Bengio & David, "BinaryConnect" (NIPS 2015), algorithm 1; Rastegari et al., "XNOR-Net" (ECCV
    2016), equation 6, for "mean". Departures: SGD with Nesterov momentum and the task's loss, where they have Adam or
    SGD and a squared hinge; the gradient of "mean" goes straight through, its factor included.

    Args:
        scale: "glorot", "mean" or "none".
        stochastic: draw, by torch's own generator, which training seeds for each epoch.
        names: tensors that are binary; None for all of two axes or more that training moves.

    Raises:
        PlanError: for another scale, and for "mean" where weights are drawn: it has no probability.

    >>> binary = BinaryConnect("none")
    >>> numbers = binary.parts({"w": torch.tensor([[-3.0, 0.2], [0.0, -0.1]])}, ["w"])
    >>> numbers["w real"], binary.judged(numbers)["w"]
    (tensor([[-1.0000,  0.2000],
            [ 0.0000, -0.1000]]), tensor([[-1.,  1.],
            [ 1., -1.]]))
    """

    scale: Scale = "glorot"
    stochastic: bool = False
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale):
            raise PlanError(f"scale is one of {', '.join(get_args(Scale))}, not {self.scale!r}")
        if self.stochastic and self.scale == "mean":
            raise PlanError("weights are drawn from ±H of a fixed H: scale 'glorot' or 'none', not 'mean'")

    def parts(self, weights: Params, moved: Collection[str]) -> dict[str, Tensor]:
        """Return the real weights, clipped."""
        chosen, numbers = matrices(weights, moved, self.names), dict[str, Tensor]()
        for name, tensor in weights.items():
            bound = self._bound(tensor)
            numbers |= {name + REAL: tensor.detach().clamp(-bound, bound)} if name in chosen else {name: tensor}
        return numbers

    def whole(self, numbers: Params) -> dict[str, Tensor]:
        """Return the binary weights, which hand their gradients on to the real ones."""
        return {key.removesuffix(REAL): self._seen(one) if key.endswith(REAL) else one for key, one in numbers.items()}

    def judged(self, numbers: Params) -> dict[str, Tensor]:
        """Return the binary weights; where they are drawn, the real ones."""
        weights = {key.removesuffix(REAL): one for key, one in numbers.items()} if self.stochastic else None
        return {name: one.detach() for name, one in (weights or self.whole(numbers)).items()}

    def penalty(self, numbers: Params) -> Penalty | None:
        """Return None."""
        return None

    @contextmanager
    def between(self, optimizer: Optimizer, numbers: Params) -> Iterator[None]:
        """Clip the real weights after each step."""
        bounds = {key: self._bound(tensor) for key, tensor in numbers.items() if key.endswith(REAL)}

        @torch.no_grad()
        def clip(*_: Any) -> None:
            for key, bound in bounds.items():
                numbers[key].clamp_(-bound, bound)

        hook = optimizer.register_step_post_hook(clip)
        try:
            yield
        finally:
            hook.remove()

    def _bound(self, tensor: Tensor) -> float:
        """Return what real weights are clipped at."""
        return glorot(tensor) if self.scale == "glorot" and tensor.ndim >= 2 else 1.0

    def _seen(self, real: Tensor) -> Tensor:
        """Return a tensor as the forward pass sees it."""
        bound = self._bound(real)
        if self.stochastic:
            binary = stochastic_round(real, (-bound, bound), None)
        else:
            magnitude = real.detach().abs().mean() if self.scale == "mean" else real.new_tensor(bound)
            binary = torch.where(real.detach() < 0, -magnitude, magnitude)
        return binary + (real - real.detach())  # adds 0, and its gradient


def glorot(weight: Tensor) -> float:
    """Return √(1.5 / (inputs + outputs)) of a weight (outputs, inputs, ...), in whose type it is a number.

    >>> round(glorot(torch.zeros(10, 20)), 6), round(glorot(torch.zeros(2, 4, 5)), 6)
    (0.223607, 0.223607)
    """
    fans = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])
    return weight.new_tensor(math.sqrt(1.5 / max(fans, 1))).item()
