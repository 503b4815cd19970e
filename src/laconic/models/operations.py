"""How many multiply-adds torch's operations have: known formulas, operations that have none, and all others."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

aten = torch.ops.aten


def _attention(query: Tensor, key: Tensor, value: Tensor, *others: Any, **named: Any) -> int:
    """Return twice the multiply-adds of attention: both of its products, masked or not."""
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


_OWN: Mapping[Any, Callable[..., int]] = {
    aten.mv: lambda matrix, vector, **_: 2 * matrix.numel(),
    aten.addmv: lambda start, matrix, vector, **_: 2 * matrix.numel(),
    aten.dot: lambda left, right, **_: 2 * left.numel(),
    aten.vdot: lambda left, right, **_: 2 * left.numel(),
    aten.addbmm: lambda start, left, right, **_: 2 * left.numel() * right.shape[-1],
    aten._int_mm: lambda left, right, **_: 2 * left.numel() * right.shape[-1],
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_attention_math: _attention,
}
"""Operation → twice its multiply-adds, beside what torch has."""

_MULTIPLIED = {aten.addmm: (1, 2), aten.baddbmm: (1, 2), aten.addmv: (1, 2), aten.addbmm: (1, 2)}
"""Which arguments are multiplied, where it is not the first two."""

_NONE = frozenset(
    """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _assert_tensor_metadata _embedding_bag
    _embedding_bag_forward_only _fused_rms_norm _local_scalar_dense _log_softmax _native_batch_norm_legit
    _native_batch_norm_legit_no_training _prelu_kernel _reshape_copy _safe_softmax _softmax _to_copy
    _unsafe_index _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa _weight_norm_interface
    adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d all amax amin any arange argmax argmin argsort
    avg_pool1d avg_pool2d avg_pool3d bernoulli bernoulli_ bucketize cat channel_shuffle clone col2im
    constant_pad_nd copy copy_ cummax cummin cumprod cumsum embedding empty empty_like empty_permuted
    empty_strided exponential_ eye fill_ flip fractional_max_pool2d fractional_max_pool3d full full_like gather
    gelu glu grid_sampler_2d grid_sampler_3d histc im2col index index_add index_copy index_put index_put_
    index_select is_nonzero isnan item lift_fresh_copy linalg_vector_norm linspace logcumsumexp logspace
    logsumexp masked_fill masked_fill_ masked_scatter masked_select max max_pool2d_with_indices
    max_pool3d_with_indices mean median min mish mode multinomial native_batch_norm native_channel_shuffle
    native_dropout native_group_norm native_layer_norm new_empty new_empty_strided new_full new_ones new_zeros
    nonzero norm normal normal_ normal_functional ones ones_like pixel_shuffle pixel_unshuffle prod rand
    rand_like randint randn randn_like random_ randperm range reflection_pad1d reflection_pad2d reflection_pad3d
    repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d roll rrelu_with_noise
    scalar_tensor scatter scatter_ scatter_add scatter_add_ scatter_reduce searchsorted select_backward
    select_scatter slice_scatter sort stack std std_mean sum to_dense topk tril tril_indices triu triu_indices
    unfold_copy uniform_ unique_dim upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean where zero_ zeros zeros_like
    """.split()
)
"""Names of torch's operations that have no product of matrices, beside those that are tagged as working by element."""

_FREE = [getattr(torch.Tag, tag) for tag in ("pointwise", "reduction", "inplace_view") if hasattr(torch.Tag, tag)]
"""Tags of operations without products; the second one is younger than torch 2.4."""


def multiply_adds(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> int | None:
    """Return the multiply-adds of one call of an operation; None where they are not known.

    Args:
        func: an overload, as a dispatch mode is given it.
        args: of the call.
        kwargs: of the call.
        output: that it gave.
    """
    packet = func.overloadpacket
    if packet in _OWN:
        return _OWN[packet](*args, **kwargs) // 2
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=output)) // 2
    own = func.namespace in ("aten", "prims")
    name = func._schema.name.partition("::")[2]
    if own and (func.is_view or name in _NONE or any(tag in func.tags for tag in _FREE)):
        return 0
    return None


def operands(func: Any, args: tuple[Any, ...]) -> list[Tensor]:
    """Return the tensors that an operation multiplies with one another."""
    places = _MULTIPLIED.get(func.overloadpacket, (0, 1))
    return [args[place] for place in places if place < len(args) and isinstance(args[place], Tensor)]
