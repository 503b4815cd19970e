"""How a weight is a matrix of what is written and what is read, where a layer does not hold it so.

    plain     W, shape (outputs, ...): x Wᵀ is written
    turned    Wᵀ, shape (inputs, outputs): x W is written, as by the Conv1D of GPT-2
    packed    shape (experts, outputs, inputs): each position is written by some experts, and read by these alone

What a layer of a kind that nobody knows does is found out by running it: where x Wᵀ + b, or x W + b, is what it writes,
it is that. Experts are those of `transformers`: a layer with a ``gate_up_proj`` and a ``down_proj``, and an activation
``act_fn`` between, called with positions, the experts of each and their shares; found out likewise.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.calibrate.recursion import Form
from laconic.models.params import to_numpy
from laconic.theory.importance.columns import columns_of, obstacle
from laconic.theory.importance.reading import wide
from laconic.training.batches import copied, tensors_in

_NEAR = 1e-3, 1e-5
"""How near, relative and absolute, what is found out must be to what a layer writes."""

_EXPERTS = {"gate_up_proj", "down_proj"}


def matrix(weight: Tensor, form: Form) -> np.ndarray:
    """Return a weight with an axis of outputs first.

    >>> matrix(torch.zeros(2, 3), "turned").shape, matrix(torch.zeros(4, 2, 3), "packed").shape
    ((3, 2), (8, 3))
    """
    array = to_numpy(weight)
    if form == "turned":
        return np.ascontiguousarray(array.T)
    return array.reshape(-1, array.shape[-1]) if form == "packed" else array


def outputs(shape: Sequence[int], form: Form) -> int:
    """Return how many outputs a weight of a shape has."""
    return int(shape[1] if form == "turned" else shape[0] * shape[1] if form == "packed" else shape[0])


def form_alone(weight: Tensor) -> Form:
    """Return the form of a weight of which nothing is known: of three axes the last is what is read."""
    return "packed" if weight.ndim == 3 else "plain"


def form_of(layer: nn.Module, leaf: str, inputs: Sequence[Any]) -> Form | str:
    """Return the form of a weight of a layer that is called, or else why it has none, in more than one word.

    Args:
        layer: with its parameters as in the call.
        leaf: name of the weight within it.
        inputs: what it is called with.
    """
    why = obstacle(layer, leaf, inputs)
    if not why or not inputs or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
        return why or "plain"
    own = dict(layer.named_parameters())
    if own.keys() == _EXPERTS and leaf in _EXPERTS:
        return "packed" if _is_of_experts(layer, inputs) else why
    if leaf != "weight" or own.keys() - {"weight", "bias"} or next(layer.children(), None) or own["weight"].ndim != 2:
        return why
    try:
        with torch.no_grad():
            written = next(tensors_in(layer.forward(*copied(tuple(inputs)))), None)
            found = _written(inputs[0], own["weight"], own.get("bias"), written)
    except (RuntimeError, TypeError, ValueError):  # what a stranger raises says that it is none of these
        return why
    return found or why


def _written(x: Tensor, weight: Tensor, bias: Tensor | None, written: Tensor | None) -> Form | None:
    """Return by which form x and a weight give what is written."""
    forms: tuple[tuple[Form, Tensor], ...] = (("plain", weight), ("turned", weight.T))
    for form, one in forms:
        if written is None or x.shape[-1] != one.shape[1] or written.shape[-1] != one.shape[0]:
            continue
        if bias is not None and bias.shape != one.shape[:1]:
            continue
        told = F.linear(x, one, bias).reshape(-1, one.shape[0])
        if told.numel() == written.numel() and torch.allclose(told, written.reshape(told.shape), *_NEAR):
            return form
    return None


def experts_of(inputs: Sequence[Any], experts: int) -> list[Tensor]:
    """Return which positions each expert reads, indices in their order.

    Args:
        inputs: of the layer: positions (n, width), and the experts of each, (n, k).
        experts: how many there are.
    """
    chosen = inputs[1].reshape(-1, inputs[1].shape[-1])
    return [chosen.eq(expert).any(-1).nonzero()[:, 0] for expert in range(experts)]


def _is_of_experts(layer: Any, inputs: Sequence[Any]) -> bool:
    """Return whether a layer's two weights are those of gated experts, whose shares are the third input."""
    up, down = layer.gate_up_proj, layer.down_proj
    fits = up.ndim == down.ndim == 3 and up.shape == (len(down), 2 * down.shape[2], down.shape[1])
    if not fits or len(inputs) < 3 or not callable(getattr(layer, "act_fn", None)):
        return False
    x, chosen, shares = (one.reshape(-1, one.shape[-1]) for one in inputs[:3])
    told = torch.zeros_like(x)
    try:
        with torch.no_grad():
            for expert, places in enumerate(experts_of(inputs, len(up))):
                share = torch.where(chosen[places] == expert, shares[places], 0.0).sum(-1, keepdim=True)
                told[places] += F.linear(_between(layer, x[places], up[expert]), down[expert]) * share.to(x.dtype)
            written = next(tensors_in(layer.forward(*copied(tuple(inputs)))), None)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    return (
        written is not None
        and written.numel() == told.numel()
        and torch.allclose(told, written.reshape(told.shape), *_NEAR)
    )


def _between(layer: Any, x: Tensor, up: Tensor) -> Tensor:
    """Return what the second weight of an expert reads."""
    gate, other = F.linear(x, up).chunk(2, dim=-1)
    read: Tensor = layer.act_fn(gate) * other
    return read


def columns(
    layer: nn.Module, leaf: str, form: Form, inputs: Sequence[Any], own: Mapping[str, Tensor], kept: Tensor | None
) -> Tensor:
    """Return every x that a weight multiplies, shape (groups, positions, columns), as `columns_of` does.

    Of experts each is a group; one that fewer positions come to than to another has zeros after them.

    Args:
        layer: that is called.
        leaf: name of the weight within it.
        form: of the weight.
        inputs: of the layer.
        own: its parameters during the call.
        kept: which positions of the samples count, shape (samples, length); None for all.
    """
    if form == "packed":
        return _experts_columns(layer, leaf, inputs, own, kept)
    known = form == "plain" and not obstacle(layer, leaf, inputs)
    found = columns_of(layer, leaf, inputs, own) if known else wide(inputs[0]).reshape(1, -1, inputs[0].shape[-1])
    if kept is None or found.shape[1] != kept.numel():
        return found
    return found[:, kept.flatten().to(found.device)]


def _experts_columns(
    layer: nn.Module, leaf: str, inputs: Sequence[Any], own: Mapping[str, Tensor], kept: Tensor | None
) -> Tensor:
    """Return what experts read, shape (experts, most positions of any, columns)."""
    up, x = own["gate_up_proj"], inputs[0].reshape(-1, inputs[0].shape[-1])
    there = torch.ones(len(x), dtype=torch.bool, device=x.device)
    if kept is not None and kept.numel() == len(x):
        there = kept.flatten().to(x.device)
    read = list[Tensor]()
    for expert, places in enumerate(experts_of(inputs, len(up))):
        rows = wide(x[places[there[places]]])
        read.append(rows if leaf == "gate_up_proj" else _between(layer, rows, up[expert].to(rows.dtype)))
    return nn.utils.rnn.pad_sequence(read, batch_first=True)
