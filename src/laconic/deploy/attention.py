"""Attention with fewer heads than its inputs are wide: torch's own module has all of them or none."""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@final
class NarrowAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` some of whose heads are gone; the parameters have the same names.

        softmax(Q_h K_hᵀ / √d) V_h   of each head h that is left, joined and projected

    With H heads left of d numbers each, `in_proj_weight` is (3 H d, E) and `out_proj.weight` (E, H d).
    """

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Return outputs and, if asked, attention weights; arguments are those of `torch.nn.MultiheadAttention`.

        ``is_causal`` is a hint beside ``attn_mask``, and nothing without it, as there.
        """
        batched = query.ndim == 3
        given = [part if batched else part.unsqueeze(int(not self.batch_first)) for part in (query, key, value)]
        given = given if self.batch_first else [part.transpose(0, 1) for part in given]
        heads = [self._heads(part, number) for number, part in enumerate(given)]
        mask = self._mask(attn_mask, key_padding_mask, heads[0], heads[1])
        weights = None
        if need_weights:
            scores = heads[0] @ heads[1].transpose(-2, -1) / self.head_dim**0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            mixed = F.dropout(weights, self.dropout, self.training) @ heads[2]
        else:
            chance = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], mask, chance)
        outputs: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        outputs = outputs if self.batch_first else outputs.transpose(0, 1)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            outputs = outputs.squeeze(int(not self.batch_first))
            weights = None if weights is None else weights.squeeze(0)
        return outputs, weights

    def _heads(self, part: Tensor, number: int) -> Tensor:
        """Return query (0), key (1) or value (2), projected, shape (batch, heads, length, numbers)."""
        width = self.num_heads * self.head_dim
        rows = slice(number * width, (number + 1) * width)
        own: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[number]
        weight = own if self.in_proj_weight is None else self.in_proj_weight[rows]
        projected = F.linear(part, weight, None if self.in_proj_bias is None else self.in_proj_bias[rows])
        return projected.reshape(*projected.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _mask(self, mask: Tensor | None, padding: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
        """Return what is added to the scores: −∞ where a mask of bools says so."""
        parts: list[Tensor] = []
        if mask is not None:
            wide = mask.reshape(-1, self.num_heads, *mask.shape[1:]) if mask.ndim == 3 else mask
            parts.append(_added(wide, query.dtype))
        if padding is not None:
            wide = padding if padding.ndim == 2 else padding[None]
            parts.append(_added(wide, query.dtype)[:, None, None, :])
        return sum(parts) if parts else None  # type: ignore[return-value]


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as numbers that are added."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, float("-inf"))
