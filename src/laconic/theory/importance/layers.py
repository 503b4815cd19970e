"""Layers whose per-sample gradients follow from what they read and from the gradient of what they write.

A linear layer that writes `W x_p` at positions p has the gradient `Σ_p g_p x_pᵀ` for one sample, so that no backward
pass runs sample by sample (Goodfellow 2015; Rochette, Manoel & Tramel 2019 for convolutions). A convolution is a linear
layer over patches; batch normalization in evaluation mode scales each channel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from laconic.models.params import Params
from laconic.theory.importance.columns import windows
from laconic.theory.importance.reading import outputs_of, wide
from laconic.training.batches import Batch
from laconic.training.task import Task

_PRODUCTS = 2**24
"""Elements of per-sample gradients in memory at a time."""


Layer = nn.Linear | nn.Conv2d | _BatchNorm
"""The layers that tell their gradients."""


@final
@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer.

    Args:
        layer: which; its weights may have been others during the call.
        weight: name of its weight, or None where it has none that is asked for.
        bias: name of its bias, or None.
        read: its input; of a batch normalization the normalized input.
        edge: where the gradient of its output arrives; None where nothing is to be differentiated.
    """

    layer: Layer
    weight: str | None
    bias: str | None
    read: Tensor
    edge: GradientEdge | None


def run(task: Task, params: Params, batch: Batch) -> tuple[Tensor, list[Call]]:
    """Return the outputs, and every call of a linear layer, a 2-d convolution or a batch normalization in its turn.

    Raises:
        DataError: when outputs have no row for each sample.
    """
    own = dict(task.module.named_parameters(remove_duplicate=False))
    names: Mapping[int, str] = {id(own[name]): name for name in params if name in own}
    calls: list[Call] = []

    def listen(layer: Layer) -> Any:
        weight, bias = (names.get(id(parameter)) for parameter in (layer.weight, layer.bias))

        def hook(layer: Layer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            edge = get_gradient_edge(output) if output.requires_grad else None
            calls.append(Call(layer, weight, bias, _reading(layer, inputs[0].detach()), edge))

        return layer.register_forward_hook(hook)

    handles = [listen(layer) for layer in task.module.modules() if isinstance(layer, Layer)]
    try:
        return outputs_of(task, params, batch), calls
    finally:
        for handle in handles:
            handle.remove()


def _reading(layer: Layer, inputs: Tensor) -> Tensor:
    """Return what the layer's weight multiplies."""
    if not isinstance(layer, _BatchNorm):
        return inputs
    return F.batch_norm(
        inputs, layer.running_mean, layer.running_var, eps=layer.eps, training=layer.running_mean is None
    )


def written_gradients(outputs: Tensor, calls: Sequence[Call], directions: Tensor) -> list[list[Tensor | None]]:
    """Return, for each direction, the gradient of `⟨b, outputs⟩` by what each call wrote, or None."""
    edges = [call.edge for call in calls if call.edge is not None]
    assert len(edges) == len(calls), "a layer that is not differentiated"
    return [
        list(torch.autograd.grad(outputs, edges, direction, retain_graph=True, allow_unused=True))
        for direction in directions.to(outputs.dtype)
    ]


def patches(call: Call) -> Tensor:
    """Return what a linear layer or a convolution multiplies, shape (samples, groups, columns, positions)."""
    layer, read = call.layer, wide(call.read)
    if not isinstance(layer, nn.Conv2d):
        return read.unsqueeze(1).flatten(1, -2).transpose(1, 2).unsqueeze(1)
    return windows(layer, read).flatten(2, 4).flatten(3)


def by_position(call: Call, written: Tensor) -> Tensor:
    """Return gradients by what was written as (samples, groups, directions, rows, positions)."""
    if not isinstance(call.layer, nn.Conv2d):
        return written.unsqueeze(2).flatten(2, -2).transpose(2, 3).unsqueeze(1)
    flat = written.flatten(3)
    grouped = flat.view(*flat.shape[:2], call.layer.groups, -1, flat.shape[-1])
    return grouped.transpose(1, 2)


def layer_sums(call: Call, written: Tensor, order: int) -> dict[str, Tensor]:
    """Return `Σ_n (Σ_k (∂⟨b_k, f(x_n)⟩/∂w)²)^order` of weight and bias, in float32 at least.

    Args:
        call: of the layer.
        written: the gradients by what it wrote, shape (samples, directions, ...).
        order: 1 or 2.
    """
    written = wide(written)
    sums: dict[str, Tensor] = {}
    if isinstance(call.layer, _BatchNorm):
        each = written.unsqueeze(-1).flatten(3)
        read = wide(call.read).unsqueeze(-1).flatten(2).unsqueeze(1)
        gradients = {call.weight: (each * read).sum(-1), call.bias: each.sum(-1)}
        return {name: _summed(part, 1, order) for name, part in gradients.items() if name is not None}
    each = by_position(call, written)
    if call.bias is not None:
        sums[call.bias] = _summed(each.sum(-1), 2, order).flatten()
    if call.weight is not None:
        sums[call.weight] = _weight_sums(each, patches(call), order).reshape(call.layer.weight.shape)
    return sums


def _weight_sums(written: Tensor, read: Tensor, order: int) -> Tensor:
    """Return the sums of a weight, shape (groups, rows, columns); without positions a square of a product is one."""
    if read.shape[-1] == 1:
        squares = written.squeeze(-1).square().sum(2).pow(order)
        return torch.einsum("ngr,ngc->grc", squares, read.squeeze(-1).square().pow(order))
    _, groups, directions, rows, _ = written.shape
    columns = read.shape[2]
    total = read.new_zeros(groups, rows, columns)
    at_a_time = max(1, _PRODUCTS // max(1, groups * directions * rows * columns))
    for g, x in zip(torch.split(written.flatten(2, 3), at_a_time), torch.split(read, at_a_time), strict=True):
        gradients = g @ x.transpose(2, 3)
        total += _summed(gradients.view(len(g), groups, directions, rows, columns), 2, order)
    return total


def _summed(gradients: Tensor, directions: int, order: int) -> Tensor:
    """Return the squares of ``gradients`` (samples, ...) summed over the axis ``directions``, then over the samples."""
    return gradients.square().sum(directions).pow(order).sum(0)
