"""What teachers add to a loss: that a network says what they say, both softened by a temperature.

    L = α · H(y, σ(z_s)) + β · H(σ(z_t/τ), σ(z_s/τ))        H(q, p) = −Σ_c q_c log p_c

The first term is the task's own loss, whatever it is; in the second there are logits z_s of the network and z_t of its
teachers, classes along axis 1. A high temperature shows which wrong answers a teacher finds less wrong than others: for
τ → ∞ the gradient of H by z_s tends to (z_s − z_t)/(N τ²), N classes, both with their means taken off.

That gradient falls as 1/τ², so that another τ is another β. Hinton, Vinyals & Dean multiply the second term by τ²,
``squared`` here, and the settings in print (τ = 4, α = 0.1, β = 0.9) are for that. The lecture's formula, above, does
not: ``squared=False``.

Values of a regression have no temperature: the term is their mean squared distance. With ``logits`` it is that of
logits, too, means and all: they are matched as they are, with neither softmax nor temperature.

Sources: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015), sections 2 and 2.1; the settings
are those of Zagoruyko & Komodakis, "Paying more attention to attention" (2017), in their code; distance of logits: Ba &
Caruana, "Do deep nets really need to be deep?" (2014), equation 1, there half of the sum over the classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn import functional as F

from laconic.arguments import require_types
from laconic.errors import PlanError
from laconic.training.judges import Kind

Mean = Literal["outputs", "logits"]
"""Of several teachers: the mean of what they say once softened, or of their logits before."""


@final
@dataclass(frozen=True)
class Distillation:
    """How much a network learns from its targets, and how much from teachers.

    Args:
        alpha: α, of the task's own loss.
        beta: β, of what the teachers say.
        temperature: τ, which logits on both sides are divided by; a regression has none.
        squared: whether the second term is times τ², so that it weighs the same at every τ.
        mean: what is averaged of several teachers; in a squared distance their outputs as they are.
        divergence: KL(q ‖ p) in place of H(q, p): the teachers' own entropy is taken off, which changes no gradient,
            and 0 is where all say the same.
        logits: the mean squared distance of logits in place of H; there is no temperature then.

    Raises:
        PlanError: for a number that is none of these.

    >>> how, logits = Distillation(alpha=0, beta=1, temperature=1), torch.zeros(3, 4)
    >>> round(float(how.term(logits, [logits], "classification")), 4), round(math.log(4), 4)
    (1.3863, 1.3863)
    """

    alpha: float = 0.1
    beta: float = 0.9
    temperature: float = 4.0
    squared: bool = True
    mean: Mean = "outputs"
    divergence: bool = False
    logits: bool = False

    def __post_init__(self) -> None:
        require_types(Distillation, (), vars(self))
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not (math.isfinite(value) and value >= 0):
                raise PlanError(f"{name} weighs a term of the loss: a number from 0, not {value}")
        if self.alpha == self.beta == 0:
            raise PlanError("alpha and beta are both 0: nothing is left to learn from")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise PlanError(f"temperature is a number above 0, not {self.temperature}")
        if self.mean not in ("outputs", "logits"):
            raise PlanError(f"mean is 'outputs' or 'logits', not {self.mean!r}")

    def term(self, outputs: Tensor, wanted: Sequence[Tensor], kind: Kind) -> Tensor:
        """Return the second term, β and all, as a mean over the samples (and positions), 0-d; H in nats.

        Args:
            outputs: of the network: logits (samples, classes, ...), or values.
            wanted: those of each teacher, of the same shape.
            kind: which of the two.
        """
        outputs, wanted = wide(outputs), [wide(one) for one in wanted]
        if self.logits or kind == "regression":
            return self.beta * F.mse_loss(outputs, torch.stack(wanted).mean(0) if len(wanted) > 1 else wanted[0])
        scale = self.beta * (self.temperature**2 if self.squared else 1.0)
        said, meant = self._softened(outputs), self._targets(wanted)
        apart = meant - said if self.divergence else -said
        return scale * (meant.exp() * apart).sum(1).mean()

    def _softened(self, logits: Tensor) -> Tensor:
        """Return log σ(z/τ)."""
        return (logits / self.temperature).log_softmax(1)

    def _targets(self, wanted: Sequence[Tensor]) -> Tensor:
        """Return log q of the teachers together."""
        if len(wanted) == 1:
            return self._softened(wanted[0])
        if self.mean == "logits":
            return self._softened(torch.stack(tuple(wanted)).mean(0))
        each = torch.stack([self._softened(one) for one in wanted])
        return each.logsumexp(0) - math.log(len(wanted))


def wide(outputs: Tensor) -> Tensor:
    """Return outputs in float32 at least: losses are not computed in half precision."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
