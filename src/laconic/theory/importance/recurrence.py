"""What the matrices of recurrent layers multiply: inputs x_t, and the states h_{t−1} before each step.

States come from torch itself: a layer of several levels and directions runs as one-level modules in one direction, with
the layer's own parameters.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence

NETWORKS: tuple[type[nn.RNNBase], ...] = (nn.RNN, nn.LSTM, nn.GRU)
CELLS: tuple[type[nn.RNNCellBase], ...] = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)

_LEAF = re.compile(r"weight_(ih|hh)(?:_l(\d+)(_reverse)?)?")


def recurrent_leaf(leaf: str) -> bool:
    """Say whether a parameter of this name is a matrix of a recurrent layer or cell."""
    return _LEAF.fullmatch(leaf) is not None


def is_packed(inputs: Any) -> bool:
    """Say whether a layer is given a packed sequence, in which steps of several samples lie mixed."""
    return isinstance(inputs, PackedSequence)


def recurrent_columns(
    layer: nn.Module, leaf: str, inputs: Sequence[Any], own: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return x_t or h_{t−1} of every sample and step, sample by sample, shape (samples · steps, columns).

    Args:
        layer: one of `NETWORKS` without ``proj_size``, or of `CELLS`.
        leaf: "weight_ih_l0", "weight_hh_l1_reverse", ...; of a cell "weight_ih" or "weight_hh".
        inputs: the sequence, which is not packed, and the first state, if it is given.
        own: parameters by their names within the layer; those that it has unless told.
    """
    start = inputs[1] if len(inputs) > 1 else None
    read: Tensor = inputs[0]
    match = _LEAF.fullmatch(leaf)
    assert match is not None, "asked for by recurrent_leaf"
    if isinstance(layer, nn.RNNCellBase):
        read = read.reshape(-1, read.shape[-1])
        if match[1] == "ih":
            return read
        hidden: Tensor | None = start[0] if isinstance(start, tuple | list) else start
        if hidden is None:
            hidden = read.new_zeros(len(read), layer.hidden_size)
        return hidden.reshape(-1, hidden.shape[-1])
    assert isinstance(layer, nn.RNNBase), "one of NETWORKS"
    alone = read.ndim == 2
    read = read.unsqueeze(1) if alone else read.transpose(0, 1) if layer.batch_first else read
    states = _states(start, alone)
    own = dict(layer.named_parameters(recurse=False)) if own is None else own
    for level in range(int(match[2])):
        ways = [_written(layer, own, read, states, level, way) for way in range(1 + layer.bidirectional)]
        read = torch.cat(ways, -1)
    if match[1] == "hh":
        read = _before(layer, own, read, states, int(match[2]), int(match[3] is not None))
    return read.transpose(0, 1).reshape(-1, read.shape[-1])


def _states(start: Any, alone: bool) -> tuple[Tensor, ...]:
    """Return the first states (h, or h and c), each of shape (levels · directions, samples, units); none for zeros."""
    parts = () if start is None else tuple(start) if isinstance(start, tuple | list) else (start,)
    return tuple(part.unsqueeze(1) for part in parts) if alone else parts


def _written(
    layer: nn.RNNBase, own: Mapping[str, Tensor], read: Tensor, states: tuple[Tensor, ...], level: int, way: int
) -> Tensor:
    """Return h_t of one level in one direction, at the places of its inputs, shape (steps, samples, units)."""
    suffix = f"_l{level}" + "_reverse" * way
    kind: Any = next(kind for kind in NETWORKS if isinstance(layer, kind))
    how: dict[str, Any] = {"nonlinearity": layer.nonlinearity} if isinstance(layer, nn.RNN) else {}
    single = kind(read.shape[-1], layer.hidden_size, bias=layer.bias, device="meta", **how)
    params = {f"{name.removesuffix(suffix)}_l0": tensor for name, tensor in own.items() if name.endswith(suffix)}
    index = level * (1 + layer.bidirectional) + way
    first = tuple(part[index : index + 1].contiguous() for part in states)
    start = None if not first else first if isinstance(layer, nn.LSTM) else first[0]
    written: Tensor = functional_call(single, params, (read.flip(0) if way else read, start))[0]
    return written.flip(0) if way else written


def _before(
    layer: nn.RNNBase, own: Mapping[str, Tensor], read: Tensor, states: tuple[Tensor, ...], level: int, way: int
) -> Tensor:
    """Return h before each step of one level in one direction: the first state, then what the steps before wrote."""
    written = _written(layer, own, read, states, level, way)
    index = level * (1 + layer.bidirectional) + way
    first = states[0][index : index + 1] if states else torch.zeros_like(written[:1])
    return torch.cat([written[1:], first] if way else [first, written[:-1]])
