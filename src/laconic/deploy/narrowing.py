"""A network of the class that it has, with fewer channels: edits go to parameters and to what modules know of them."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from laconic.deploy.attention import NarrowAttention
from laconic.deploy.compact import Compact, become
from laconic.deploy.edits import Edits
from laconic.deploy.factored import factor
from laconic.deploy.selecting import SELECTING, select
from laconic.errors import FormatError
from laconic.models.params import first_names, unwrapped

KNOWN = (nn.Linear, _ConvNd, _NormBase, nn.GroupNorm, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention)
"""Modules of torch, and classes made of them, whose sizes follow from their parameters."""


def narrow(module: nn.Module, edits: Edits) -> nn.Module:
    """Apply edits to a network, in place, and return it; its weights are those of what stays.

    Of a network that is as small already nothing is changed.

    Raises:
        FormatError: when the edits are not those of this network, which is left as it was.
    """
    network = unwrapped(module)
    if edits and not _is_narrow(network, edits):
        _narrow(copy.deepcopy(network), edits)  # on a copy first: what fails there leaves the network as it was
        _narrow(network, edits)
    return module


def _is_narrow(module: nn.Module, edits: Edits) -> bool:
    """Say whether edits have been applied before."""
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shapes = [(own.get(name), axis, kept) for name, axes in edits.axes.items() for axis, kept in axes.items()]
    parts = dict(module.named_modules())
    whole = all(isinstance(parts.get(path), nn.Sequential) for path in edits.factored)
    whole = whole and all(isinstance(parts.get(path), Compact) for path in edits.rewritten)
    if not whole or not all(type(parts.get(path)) in SELECTING.values() for path in edits.selected):
        return False
    gone = [f"{path}.weight" for path in edits.factored]
    return all(
        tensor is not None and axis < tensor.ndim and tensor.shape[axis] == len(kept)
        for (tensor, axis, kept), name in zip(shapes, [n for n, a in edits.axes.items() for _ in a], strict=True)
        if name not in gone
    )


def _narrow(module: nn.Module, edits: Edits) -> None:
    """Apply edits."""
    for path, (form, *counts) in edits.rewritten.items():
        become(module, path, form, counts)
    parts = dict(module.named_modules())
    wide = {path: _widths(part) for path, part in parts.items() if isinstance(part, nn.MultiheadAttention)}
    _slice(module, edits)
    for path, number in edits.groups.items():
        part = _part(parts, path)
        if isinstance(part, nn.GroupNorm):
            part.num_channels = part.num_channels // part.num_groups * number
            part.num_groups = number
        elif isinstance(part, _ConvNd):
            part.groups = number
        else:
            raise FormatError(f"{path} has no groups, but {number} of them are told; give the network of this file")
    for part in parts.values():
        _resize(part)
    for path, before in wide.items():
        part = parts[path]
        assert isinstance(part, nn.MultiheadAttention), "found as one"
        if _widths(part) != before:
            _behead(part, path)
    for path, sizes in edits.attributes.items():
        for key, size in sizes.items():
            old = vars(_part(parts, path)).get(key)
            if not isinstance(old, int) or isinstance(old, bool) or key.startswith("_"):
                raise FormatError(f"{path} has no size {key!r}; give the network that this file is of")
            setattr(parts[path], key, size)
    for path, kept in edits.selected.items():
        if type(_part(parts, path)) not in SELECTING:
            raise FormatError(f"{path} is no layer that can select its inputs; give the network that this file is of")
        select(parts[path], kept)
    for path, (kind, *ranks) in edits.factored.items():
        factor(module, path, kind, ranks)


def _part(parts: dict[str, nn.Module], path: str) -> nn.Module:
    """Return a module by name.

    Raises:
        FormatError: when there is none.
    """
    if path not in parts:
        raise FormatError(f"the file is of a network with {path!r}, which this one has not; give the right one")
    return parts[path]


def _slice(module: nn.Module, edits: Edits) -> None:
    """Put the part that stays of each tensor in its place, in all places where it is tied.

    Raises:
        FormatError: for a tensor that is not there, or smaller than the edits say.
    """
    firsts, smaller = first_names(module), dict[str, Tensor]()
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, axes in edits.axes.items():
        tensor = own.get(name)
        if tensor is None:
            raise FormatError(f"the file is of a network with {name!r}, which this one has not; give the right one")
        for axis, kept in axes.items():
            if axis >= tensor.ndim or max(kept) >= tensor.shape[axis]:
                shape = tuple(own[name].shape)
                raise FormatError(f"{name} has shape {shape}, of which index {max(kept)} along axis {axis} should stay")
            tensor = tensor.detach().index_select(axis, torch.tensor(kept, device=tensor.device))
        parameter = own[name]
        smaller[name] = (
            nn.Parameter(tensor, requires_grad=parameter.requires_grad)
            if isinstance(parameter, nn.Parameter)
            else tensor
        )
    for path, part in module.named_modules():
        for table in (part._parameters, part._buffers):
            for key in list(table):
                first = firsts.get(f"{path}.{key}" if path else key)
                if first in smaller:
                    table[key] = smaller[first]


def _resize(part: nn.Module) -> None:
    """Let a module of torch know the sizes that its parameters have now."""
    weight: Any = getattr(part, "weight", None)
    if isinstance(part, nn.Linear):
        part.out_features, part.in_features = weight.shape
    elif isinstance(part, _ConvTransposeNd):
        part.in_channels, part.out_channels = weight.shape[0], weight.shape[1] * part.groups
    elif isinstance(part, _ConvNd):
        part.out_channels, part.in_channels = weight.shape[0], weight.shape[1] * part.groups
    elif isinstance(part, nn.Embedding):
        part.num_embeddings, part.embedding_dim = weight.shape
    elif isinstance(part, _NormBase):
        known = [tensor for tensor in (weight, part.running_mean) if tensor is not None]
        part.num_features = len(known[0]) if known else part.num_features
    elif isinstance(part, nn.LayerNorm) and weight is not None:
        part.normalized_shape = tuple(weight.shape)


def _widths(part: nn.MultiheadAttention) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the parameters of an attention."""
    return tuple(tuple(parameter.shape) for parameter in part.parameters())


def _behead(part: nn.MultiheadAttention, path: str) -> None:
    """Make an attention one that has fewer heads than its inputs are wide.

    Raises:
        FormatError: where it adds keys of its own, for which there is no such module.
    """
    if part.bias_k is not None or part.add_zero_attn:
        raise FormatError(f"{path} adds keys of its own: an attention like that keeps all of its heads")
    part.__class__ = NarrowAttention
    part.num_heads = part.out_proj.weight.shape[1] // part.head_dim
    part.embed_dim = part.out_proj.weight.shape[0]
