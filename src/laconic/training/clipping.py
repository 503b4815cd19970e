"""Adaptive gradient clipping: no row moves by more than a share of its own length at a rate of 1.

    g_i ← g_i · min(1, share · max(‖w_i‖, ε) / ‖g_i‖)        for each row i of a weight, and for each vector as a whole

Networks whose batch normalizations are constants diverge at the rates at which they trained with the statistics of each
batch, for these bounded what a step did to the outputs.

Source: Brock, De, Smith & Simonyan, "High-performance large-scale image recognition without normalization" (ICML 2021,
arXiv 2102.06171), equation 3, with their ε. They leave the last layer out; here all are clipped.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

SHARE = 0.01
"""Theirs for batches up to 4096 (section 4.1)."""

_EPSILON = 1e-3


@torch.no_grad()
def clip_rows(leaves: Iterable[Tensor], share: float) -> None:
    """Clip the gradients in place.

    Args:
        leaves: weights, whose rows lie along the first axis, and vectors; those without a gradient are passed over.
        share: of the length of a row.

    >>> weight = torch.tensor([[3.0, 4.0], [0.3, 0.4]], requires_grad=True)
    >>> weight.grad = torch.ones(2, 2)
    >>> clip_rows([weight], 0.1)
    >>> weight.grad.norm(dim=1)
    tensor([0.5000, 0.0500])
    """
    for leaf in leaves:
        if leaf.grad is None:
            continue
        longest = share * _lengths(leaf).clamp_min(_EPSILON)
        leaf.grad.mul_((longest / _lengths(leaf.grad)).nan_to_num(1.0).clamp_max(1.0))


def _lengths(tensor: Tensor) -> Tensor:
    """Return the length of each row of a weight, or of a vector, in a shape that goes with the tensor's."""
    axes = tuple(range(1, tensor.ndim)) or None
    lengths: Tensor = torch.linalg.vector_norm(tensor, dim=axes, keepdim=True)
    return lengths
