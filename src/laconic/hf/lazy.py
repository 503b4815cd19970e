"""Layers that decode their weights when they are first used, or saved.

A model is built of stand-ins, tensors of the right shapes that are one number each, so that whatever a library does to
find the place of a tensor by its name is done; by the memory of its number each is known again afterwards.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import ml_dtypes  # noqa: F401  registers bfloat16 and the 8-bit floats with NumPy
import numpy as np
import torch
from torch import Tensor, nn

from laconic.format.container import LacFile
from laconic.models.params import to_torch


def placeholders(file: LacFile) -> dict[str, Tensor]:
    """Return a tensor of zeros for each of a file by name, of its shape and type; all of it is one number in memory."""
    rows = {row.name: row for row in file.charges()[:-1]}
    ones = {name: to_torch(np.zeros(1, np.dtype(rows[file.ties.get(name, name)].dtype))) for name in rows}
    return {name: ones[name].reshape([1] * len(row.shape)).expand(row.shape) for name, row in rows.items()}


def sources(model: nn.Module, stand_ins: Mapping[str, Tensor]) -> tuple[dict[str, str], list[str]]:
    """Return which tensor of the file each parameter and buffer is, and the names of those that are none.

    Args:
        model: that was filled with stand-ins.
        stand_ins: by the names of the file.
    """
    origins = {tensor.untyped_storage().data_ptr(): name for name, tensor in stand_ins.items()}
    found, others = dict[str, str](), list[str]()
    for name, tensor in model.state_dict(keep_vars=True).items():
        origin = origins.get(tensor.untyped_storage().data_ptr())
        if origin is not None and tensor.shape == stand_ins[origin].shape:
            found[name] = origin
        else:
            others.append(name)
    return found, others


def decoding(model: nn.Module, names: Mapping[str, str], file: LacFile) -> nn.Module:
    """Return the model, each part of which decodes its tensors before it first runs, or its `state_dict` is asked for.

    Until then they are on the meta device, where what reads them fails.

    Args:
        model: that was filled with stand-ins.
        names: of its parameters and buffers, each with that of its tensor in the file.
        file: open; it stays so as long as a part has not run.
    """
    places: dict[str, list[tuple[nn.Module, str]]] = defaultdict(list)  # of each tensor of the file
    parts: dict[nn.Module, list[str]] = defaultdict(list)
    for path, part in model.named_modules():
        for own in [*part._parameters, *part._buffers]:
            name = ".".join(filter(None, (path, own)))
            if name in names:
                places[names[name]].append((part, own))
                parts[part].append(names[name])
    for origin, where in places.items():
        _put(where, getattr(*where[0]).to("meta"), origin)
    for part, origins in parts.items():
        _once(part, partial(_decoded, file, places, origins))
    return model


def _once(part: nn.Module, work: Any) -> None:
    """Let a part do some work before it first runs, or its weights are asked for, as to save them."""

    def first(*_: Any) -> None:
        before_outputs.remove()
        before_states.remove()
        work()

    before_outputs = part.register_forward_pre_hook(first)
    before_states = part.register_state_dict_pre_hook(first)  # type: ignore[no-untyped-call]


def _decoded(file: LacFile, places: Mapping[str, list[tuple[nn.Module, str]]], origins: list[str]) -> None:
    """Put tensors into all their places, where they are not there yet."""
    for origin in origins:
        if getattr(*places[origin][0]).is_meta:
            _put(places[origin], to_torch(file[origin], fresh=True), origin)


def _put(where: list[tuple[nn.Module, str]], tensor: Tensor, origin: str) -> None:
    """Put a tensor of the file into all its places, which have one parameter afterwards."""
    part, own = where[0]
    whole = nn.Parameter(tensor.detach(), requires_grad=False) if own in part._parameters else tensor.detach()
    for part, own in where:
        (part._parameters if own in part._parameters else part._buffers)[own] = whole  # type: ignore[assignment]
    assert torch.is_tensor(whole), origin
