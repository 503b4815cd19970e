"""The weights that a quantized checkpoint stands for: `(integer − zero) · scale`, rounded to the type of the scales."""

from collections.abc import Iterator, Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import WeightsError
from laconic.format.codes.words import Words
from laconic.models.params import Params, to_numpy
from laconic.models.quantized import Layer, Quantized


@final
class Standing(Mapping[str, Tensor]):
    """A quantized checkpoint as the weights that it stands for, each made when it is asked for, and its other tensors.

    Args:
        params: the checkpoint.
        found: what is quantized in it.
    """

    def __init__(self, params: Params, found: Quantized) -> None:
        at = {layer.parts["integers"]: layer for layer in found.layers}
        beside = {name for layer in found.layers for name in layer.parts.values()} - at.keys()
        self._params = params
        self._layers = {at[name].weight if name in at else name: at.get(name) for name in params if name not in beside}

    def __getitem__(self, name: str) -> Tensor:
        layer = self._layers[name]
        return self._params[name] if layer is None else weight_of(self._params, layer)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def weight_of(params: Params, layer: Layer) -> Tensor:
    """Return the weight of a layer, of shape (out, in) where it is packed; else of the shape of its integers.

    It has the type of the scales where a runtime multiplies in that type, and float32 of integers that are not packed.

    Raises:
        WeightsError: naming the tensor, where shapes or orders do not fit one another.
    """
    stored = params[layer.parts["scales"]].detach()
    scales, integers = stored.float(), torch.from_numpy(_integers(params, layer, "integers"))
    zeros = torch.from_numpy(_integers(params, layer, "zeros")).float() if "zeros" in layer.parts else None
    if layer.layout == "GPTQ" and zeros is not None:
        zeros = (zeros + layer.zero_offset) % (1 << layer.bits)
    if layer.layout in ("GPTQ", "AWQ"):  # by groups × outputs
        scales, zeros = scales.T, None if zeros is None else zeros.T
    weight = integers.float()
    if zeros is not None:
        weight -= _spread(zeros, weight, params, layer, "zeros")
    weight *= _spread(scales, weight, params, layer, "scales")
    return weight.to(stored.dtype) if layer.words else weight


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


def _spread(each: Tensor, integers: Tensor, params: Params, layer: Layer, part: str) -> Tensor:
    """Return scales or zeros of a tensor, of its rows, or of groups of each row, for every integer."""
    shape, name = tuple(integers.shape), layer.parts[part]
    if each.numel() == 1:
        return each.reshape(())
    if each.numel() == shape[0] and each.shape[0] == shape[0]:
        return each.reshape(-1, *[1] * (len(shape) - 1))
    groups = each.shape[-1]
    if tuple(each.shape[:-1]) != shape[:-1] or not groups:
        raise WeightsError(f"{name}: {part} of shape {tuple(each.shape)} for integers of shape {shape}")
    if "order" in layer.parts:
        order = params[layer.parts["order"]].long()
        if order.shape != shape[-1:] or int(order.min()) < 0 or int(order.max()) >= groups:
            raise WeightsError(
                f"{layer.parts['order']}: it is no group, below {groups}, of each of {shape[-1]} columns"
            )
        return each[:, order]
    if shape[-1] % groups:
        raise WeightsError(f"{name}: {groups} groups do not divide {shape[-1]} columns")
    return each.repeat_interleave(shape[-1] // groups, dim=-1)
