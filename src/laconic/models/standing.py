"""The weights that a quantized checkpoint stands for: `(integer − zero) · scale`, rounded to the type of the scales."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from laconic.errors import WeightsError
from laconic.format.codes.words import Words
from laconic.models.params import Params, to_numpy
from laconic.models.quantized import Layer, Quantized


def dequantized(params: Params, found: Quantized) -> dict[str, Tensor]:
    """Return the parameters with the weights themselves in place of the integers and scales that they were stored as.

    Raises:
        WeightsError: naming the tensor, where shapes or orders do not fit one another.
    """
    at = {layer.parts["integers"]: layer for layer in found.layers}
    left_out = {name for layer in found.layers for name in layer.parts.values()}
    weights: dict[str, Tensor] = {}
    for name in params:
        if name in at:
            weights[at[name].weight] = weight_of(params, at[name])
        elif name not in left_out:
            weights[name] = params[name]
    return weights


def weight_of(params: Params, layer: Layer) -> Tensor:
    """Return the weight of a layer, of shape (out, in) where it is packed; else of the shape of its integers.

    Raises:
        WeightsError: naming the tensor, where shapes or orders do not fit one another.
    """
    scales = params[layer.parts["scales"]].detach().float()
    integers = torch.from_numpy(_integers(params, layer, "integers"))
    zeros = torch.from_numpy(_integers(params, layer, "zeros")).float() if "zeros" in layer.parts else None
    if layer.layout == "GPTQ" and zeros is not None:
        zeros = (zeros + layer.zero_offset) % (1 << layer.bits)
    if layer.layout in ("GPTQ", "AWQ"):  # by groups × outputs
        scales, zeros = scales.T, None if zeros is None else zeros.T
    if integers.ndim == 2 and scales.ndim < 2 and scales.numel() > 1:
        scales = scales.reshape(-1, 1)
    if zeros is not None:
        zeros = zeros.reshape(scales.shape) if zeros.numel() == scales.numel() else zeros
    steps, zero = (None if each is None else _spread(each, integers, params, layer) for each in (scales, zeros))
    assert steps is not None, "every layer has scales"
    weight = (integers.float() - (0 if zero is None else zero)) * steps
    return weight.to(params[layer.parts["scales"]].dtype)


def _integers(params: Params, layer: Layer, part: str) -> np.ndarray:
    """Return the integers of a part, int32, as they count: signed, outputs first of a weight."""
    name = layer.parts[part]
    array = to_numpy(params[name])
    if part not in layer.words:
        return array.astype(np.int32)
    words = _fitting(name, array, layer.words[part])
    found = words.unpacked(np.ascontiguousarray(array).view("u4")).astype(np.int32)
    if layer.layout == "AWQ":
        return np.ascontiguousarray(found.T) if part == "integers" else found
    if layer.layout == "GPTQ":
        return found
    rows, columns = (int(n) for n in params[layer.parts["shape"]].tolist())
    groups = params[layer.parts["scales"]].reshape(rows, -1).shape[1] if part == "zeros" else 0
    # zeros are packed down the outputs: lines are groups
    found = found[:, :columns] if part == "integers" else found[:groups, :rows].T
    return np.ascontiguousarray(found) - (1 << layer.bits - 1)


def _fitting(name: str, array: np.ndarray, allowed: tuple[Words, ...]) -> Words:
    """Return the first layout that the words of a tensor may have."""
    for words in allowed:
        if array.shape[words.axis] % words.span == 0:
            return words
    raise WeightsError(f"{name}: {array.shape} words do not hold whole numbers of {allowed[0].bits}-bit integers")


def _spread(each: Tensor, integers: Tensor, params: Params, layer: Layer) -> Tensor:
    """Return scales or zeros, (out, groups), for every integer."""
    if each.numel() == 1:
        return each.reshape(())
    if integers.ndim != 2:
        return each.reshape(-1, *[1] * (integers.ndim - 1))
    rows, columns = integers.shape
    name = layer.parts["scales"]
    if each.ndim != 2 or each.shape[0] != rows or not each.shape[1]:
        raise WeightsError(f"{name}: scales or zeros of shape {tuple(each.shape)} for {rows} x {columns} integers")
    if "order" in layer.parts:
        order = params[layer.parts["order"]].long()
        if order.shape != (columns,) or not columns or int(order.min()) < 0 or int(order.max()) >= each.shape[1]:
            raise WeightsError(
                f"{layer.parts['order']}: groups of {columns} columns, each below {each.shape[1]}, expected"
            )
        return each[:, order]
    if columns % each.shape[1]:
        raise WeightsError(f"{name}: {each.shape[1]} groups do not divide {columns} columns")
    return each.repeat_interleave(columns // each.shape[1], dim=1)
