"""The best weights of a layer that sees less of its inputs.

    argmin over v of  tr((W − v A) Σ (W − v A)ᵀ)    =    W Σ Aᵀ (A Σ Aᵀ)⁻¹

A is what the smaller layer sees of the inputs x: one tap of each patch, or the mean of each map; Σ are the second
moments of x. Exact. For Σ = I one tap keeps its own weights, and a mean gets the sum of each map's.
"""

import torch
from torch import Tensor


def through(weight: Tensor, seen: Tensor, moments: Tensor | None = None) -> Tensor:
    """Return v, shape (outputs, seen).

    Args:
        weight: W, shape (outputs, inputs), float64.
        seen: A, shape (seen, inputs), of full rank.
        moments: Σ, shape (inputs, inputs), positive definite; the identity unless given.

    >>> through(torch.tensor([[1.0, 2.0, 5.0]]), torch.ones(1, 3) / 3).round()
    tensor([[8.]])
    """
    weighed = seen if moments is None else seen @ moments
    found: Tensor = torch.linalg.solve(weighed @ seen.T, weighed @ weight.T).T
    return found
