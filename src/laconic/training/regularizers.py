"""Terms that training may add to a loss so that what comes out is of low rank: baselines beside the LC algorithm."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.training.loop import Penalty

Term = Callable[[Params, Iterable[str]], Tensor]
"""(weights by name, the names that count) → a term of the loss, 0-d."""


def nuclear_norm(params: Params, names: Iterable[str]) -> Tensor:
    """Return `Σ_t ‖W_t‖_*`, the sum of all singular values, tensors read as matrices of dimension 0 × the rest.

    Its gradient is U Vᵀ of the singular value decomposition, which pulls all singular values down alike.
    """
    return sum((torch.linalg.svdvals(_matrix(params[name])).sum() for name in names), torch.zeros(()))


def orthogonality(params: Params, names: Iterable[str]) -> Tensor:
    """Return `Σ_t ‖M_t − I‖_F² / r_t²`, M_t of shape (r_t, r_t) being W Wᵀ or Wᵀ W, the smaller of the two.

    On the factors U and V of a layer that is trained as `U diag(s) Vᵀ` it keeps s what it says, the singular values.

    Source: Yang et al., "Learning low-rank deep neural networks via singular vector orthogonality regularization and
    singular value sparsification" (CVPR workshops 2020), equation 2.
    """
    total = torch.zeros(())
    for name in names:
        matrix = _matrix(params[name])
        wide = matrix.shape[0] < matrix.shape[1]
        gram = matrix @ matrix.T if wide else matrix.T @ matrix
        size = len(gram)
        total = total + (gram - torch.eye(size).to(gram)).square().sum() / max(size, 1) ** 2
    return total


@final
@dataclass(frozen=True)
class Regularizer(Penalty):
    """`price · term(w, names)` as the penalty of `laconic.training.loop.minimise`; its gradient is autograd's.

    Args:
        term: `nuclear_norm`, `orthogonality`, or one's own.
        names: tensors that count; those that training does not move are left out.
        price: factor of the term, not negative.

    Raises:
        PlanError: for a negative price.
    """

    term: Term
    names: tuple[str, ...]
    price: float

    def __post_init__(self) -> None:
        if not self.price >= 0:
            raise PlanError(f"price is the factor of the term, 0 or more, not {self.price}")

    def add_gradient(self, leaves: Mapping[str, Tensor]) -> None:
        """Add the gradient to ``leaf.grad`` in place."""
        moved = [name for name in self.names if name in leaves]
        copies = {name: leaves[name].detach().requires_grad_() for name in moved}
        if not copies:
            return
        with torch.enable_grad():
            value = self.price * self.term(copies, moved)
        for name, gradient in zip(moved, torch.autograd.grad(value, list(copies.values())), strict=True):
            grad = leaves[name].grad
            leaves[name].grad = gradient if grad is None else grad.add_(gradient)

    def value(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Return the term times its price."""
        return self.price * self.term(leaves, [name for name in self.names if name in leaves])


def _matrix(tensor: Tensor) -> Tensor:
    """Return ``tensor`` as the matrix of dimension 0 × the rest, a vector being one column."""
    return tensor.reshape(len(tensor), -1) if tensor.numel() else tensor.new_zeros(0, 0)
