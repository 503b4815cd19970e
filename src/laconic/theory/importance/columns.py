"""What a weight multiplies: the layers whose outputs are products of a weight and columns of numbers that they read.

    what is written at a position of a sample = W x + the rest,   W = weight.reshape(groups, outputs / groups, columns)

Linear layers, convolutions of one to three dimensions, and the two matrices of each direction of a recurrent layer are
of this kind; an embedding multiplies Wᵀ with columns that are 0 but for one 1, of which it is enough to count. All
other weights have a reason in words why they are not: they are compressed by what they are themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.theory.importance.reading import wide
from laconic.theory.importance.recurrence import CELLS, NETWORKS, is_packed, recurrent_columns, recurrent_leaf

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
"""Those that are not transposed."""

_PLAIN: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)
_KNOWN = (*_PLAIN, *NETWORKS, *CELLS)

_STRANGE: dict[type[nn.Module], str] = {
    nn.modules.conv._ConvTransposeNd: "a transposed convolution adds up products that overlap",
    nn.MultiheadAttention: "MultiheadAttention multiplies it within, where nothing can be read",
    nn.Bilinear: "a Bilinear multiplies it with two inputs at a time",
    nn.EmbeddingBag: "an EmbeddingBag adds up its rows",
    nn.PReLU: "a PReLU multiplies single numbers with it",
}


def obstacle(layer: nn.Module, leaf: str, inputs: Sequence[Any] = ()) -> str:
    """Return why ``columns_of``, or ``frequencies`` of an embedding, cannot say what a weight multiplies, or nothing.

    Args:
        layer: as it is called.
        leaf: name of the parameter within it.
        inputs: what it is called with, where that is known.
    """
    kind = next((kind for kind in _KNOWN if isinstance(layer, kind)), None)
    if kind is None:
        other = (why for strange, why in _STRANGE.items() if isinstance(layer, strange))
        return next(other, f"nothing is known of what {type(layer).__name__} multiplies it with")
    if any(getattr(type(layer), name, None) is not getattr(kind, name, None) for name in ("forward", "_conv_forward")):
        return f"{type(layer).__name__} is a {kind.__name__} with a forward of its own"
    if not (leaf == "weight" if kind in _PLAIN else recurrent_leaf(leaf)):
        return f"{type(layer).__name__} makes its weight of it"
    if isinstance(layer, nn.Embedding) and layer.max_norm is not None:
        return "an Embedding with max_norm changes its rows as it reads them"
    if getattr(layer, "proj_size", 0):
        return "an LSTM with proj_size projects what it hands on"
    if inputs and is_packed(inputs[0]):
        return f"{type(layer).__name__} reads a packed sequence; pad it instead"
    return ""


def columns_of(layer: nn.Module, leaf: str, inputs: Sequence[Any], own: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return every x that a weight multiplies, in float32 at least, shape (groups, samples · positions, columns).

    Columns are in the order of ``weight.reshape(outputs, -1)``: channel, then the kernel's axes; rows sample by sample
    where samples lie along the first axis (of a recurrent layer: along that of its samples). A subclass reads as its
    base class does, unless `obstacle` is asked.

    Args:
        layer: linear, a convolution, or recurrent: `torch.nn.RNN`, `LSTM`, `GRU` and their cells.
        leaf: name of the parameter within the layer: "weight", "weight_ih_l0", "weight_hh_l1_reverse", ...
        inputs: what the layer is called with, in the order of its ``forward``.
        own: parameters of the layer during the call, by their names within it; those that it has unless told. A
            recurrence runs with them, as in evaluation mode: without dropout between its layers.

    Raises:
        DataError: for any other layer or weight; it says why.
    """
    if isinstance(layer, nn.Linear) and leaf == "weight":
        return wide(inputs[0]).reshape(1, -1, inputs[0].shape[-1])
    if isinstance(layer, Convolution) and leaf == "weight":
        seen = windows(layer, inputs[0])
        first = seen.permute(1, *range(2, seen.ndim - _axes(layer)), 0, *range(seen.ndim - _axes(layer), seen.ndim))
        return first.reshape(layer.groups, layer.weight.shape[1:].numel(), -1).transpose(1, 2)
    if isinstance(layer, (*NETWORKS, *CELLS)) and recurrent_leaf(leaf) and not obstacle(layer, leaf, inputs):
        return wide(recurrent_columns(layer, leaf, inputs, own)).unsqueeze(0)
    why = obstacle(layer, leaf, inputs)
    if isinstance(layer, nn.Embedding):
        why = why or "an Embedding has counts in place of columns: see frequencies"
    raise DataError(f"{leaf} of {type(layer).__name__} has no columns: {why or 'it is not a weight'}")


def frequencies(layer: nn.Embedding, inputs: Sequence[Any]) -> Tensor:
    """Return how often each row of an embedding is read: the diagonal of Σ_p x xᵀ, Wᵀ being the matrix; float64.

    Args:
        layer: with ``num_embeddings`` rows.
        inputs: what it is called with: indices of any shape.
    """
    return torch.bincount(inputs[0].flatten(), minlength=layer.num_embeddings).double()


def windows(layer: Convolution, read: Tensor) -> Tensor:
    """Return the patches of a convolution, without a copy: (samples, groups, channels, *kernel, *positions).

    Args:
        layer: with any stride, dilation, padding and groups.
        read: its input, with or without an axis of samples.
    """
    axes, inputs = _axes(layer), wide(read)
    inputs = inputs if inputs.ndim == axes + 2 else inputs.unsqueeze(0)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    seen = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    for axis, (size, stride, far) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True), 2):
        seen = seen.unfold(axis, far * (size - 1) + 1, stride)[..., ::far]
    seen = seen.view(len(seen), layer.groups, layer.in_channels // layer.groups, *seen.shape[2:])
    places, kernel = range(3, 3 + axes), range(3 + axes, 3 + 2 * axes)
    return seen.permute(0, 1, 2, *kernel, *places)


def _axes(layer: Convolution) -> int:
    """Return over how many axes a convolution runs."""
    return len(layer.kernel_size)
