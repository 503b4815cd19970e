"""What a worker keeps of a gradient from one step to the next, because its codec has not sent it.

Error feedback sends the rest with the next gradient:

    p = g + e,    e ← p − ĝ,    ĝ being what the codec makes of p

Momentum correction keeps the momentum on the worker, before the codec, instead of in the optimizer behind it:

    u ← m u + g,  v ← v + u             (Nesterov: u ← m (u + g),  v ← v + u + g)
    v ← v − ĝ,  u ← 0 where ĝ ≠ 0       (momentum factor masking)

with ĝ of v. Either way nothing is lost: what was sent and what is kept add up to all gradients (in error feedback) or
to all momenta. The optimizer must have no momentum of its own beside the second.

Source: Seide, Fu, Droppo, Li & Yu, "1-bit stochastic gradient descent" (Interspeech 2014); Lin, Han, Mao, Wang & Dally,
"Deep Gradient Compression" (ICLR 2018), section 3; Nesterov as in their code.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from laconic.errors import PlanError

Held = Mapping[str, Tensor]
"""What is kept of one tensor: tensors of its shape in float32, by a word; empty before the first step."""


class Memory(ABC):
    """How a gradient becomes what is to be sent, and what of it is kept."""

    @abstractmethod
    def wanted(self, gradient: Tensor, held: Held) -> tuple[Tensor, Held]:
        """Return what the codec is to send, and what is kept meanwhile."""

    @abstractmethod
    def left(self, wanted: Tensor, sent: Tensor, held: Held) -> Held:
        """Return what is kept once ``sent`` stands for ``wanted`` on all workers."""

    @abstractmethod
    def of_all_sent(self) -> "Memory":
        """Return the memory of a tensor that is sent as it is."""

    @property
    @abstractmethod
    def has_momentum(self) -> bool:
        """Whether the momentum is here, and the optimizer must have none."""


@final
@dataclass(frozen=True)
class Forgetful(Memory):
    """Nothing is kept: for codecs that are right in the mean."""

    def wanted(self, gradient: Tensor, held: Held) -> tuple[Tensor, Held]:
        """Return the gradient."""
        return gradient, {}

    def left(self, wanted: Tensor, sent: Tensor, held: Held) -> Held:
        """Return nothing."""
        return {}

    def of_all_sent(self) -> Memory:
        """Return itself."""
        return self

    @property
    def has_momentum(self) -> bool:
        """No."""
        return False


@final
@dataclass(frozen=True)
class ErrorFeedback(Memory):
    """What was not sent goes with the next gradient."""

    def wanted(self, gradient: Tensor, held: Held) -> tuple[Tensor, Held]:
        """Return the gradient and the residual."""
        return gradient + held["residual"] if held else gradient, {}

    def left(self, wanted: Tensor, sent: Tensor, held: Held) -> Held:
        """Return the new residual."""
        return {"residual": wanted - sent}

    def of_all_sent(self) -> Memory:
        """Return a memory of nothing: no error is left."""
        return Forgetful()

    @property
    def has_momentum(self) -> bool:
        """No."""
        return False


@final
@dataclass(frozen=True)
class MomentumCorrection(Memory):
    """Deep Gradient Compression's.

    Args:
        momentum: m.
        nesterov: whether it looks ahead, as laconic's own optimizer does.
        masking: the momentum stops where a number was sent.

    Raises:
        PlanError: for a momentum that is none.
    """

    momentum: float = 0.9
    nesterov: bool = True
    masking: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise PlanError(f"momentum is at least 0 and below 1, not {self.momentum}")

    def wanted(self, gradient: Tensor, held: Held) -> tuple[Tensor, Held]:
        """Return v, and keep u."""
        nothing = torch.zeros_like(gradient)
        u, v = held.get("momentum", nothing), held.get("unsent", nothing)
        if self.nesterov:
            u = self.momentum * (u + gradient)
            return v + u + gradient, {"momentum": u}
        u = self.momentum * u + gradient
        return v + u, {"momentum": u}

    def left(self, wanted: Tensor, sent: Tensor, held: Held) -> Held:
        """Return u and v without what was sent."""
        u = held["momentum"]
        return {"momentum": u.masked_fill(sent != 0, 0) if self.masking else u, "unsent": wanted - sent}

    def of_all_sent(self) -> Memory:
        """Return the momentum alone: where all is sent, masking would stop all of it."""
        return replace(self, masking=False)

    @property
    def has_momentum(self) -> bool:
        """Yes."""
        return True
