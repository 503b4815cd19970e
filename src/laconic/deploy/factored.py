"""A layer whose weight is a product as a few thin layers, one after the other.

    y = W x + b    with    W = L R                         →  R, then L with b
                           W = U ×core× V  (Tucker-2)      →  V (1 × 1), core (k × k), U (1 × 1) with b
                           W = Σ_r a_r ∘ c_r ∘ h_r ∘ v_r   →  c (1 × 1), h (k × 1), v (1 × k), each channel by itself, a

Sources: Jaderberg, Vedaldi & Zisserman (BMVC 2014) for a column of convolutions and then a row; Kim et al. (ICLR 2016,
arXiv 1511.06530) for three of Tucker-2; Lebedev et al. (ICLR 2015, arXiv 1412.6553) for four of a canonical
decomposition. Each keeps the weights' values; the order of the sums is another, so that outputs differ by rounding.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from laconic.errors import FormatError

Thin = dict[str, Any]
"""One thin layer: its kind, ``linear`` or ``conv``, shape of its weight, and of a convolution what it strides over."""

_LARGEST = 1 << 28
"""Numbers of a thin layer at most: files are read by whoever gets them."""


def linear(shape: tuple[int, ...], *, bias: bool) -> Thin:
    """Return the description of a linear layer with a weight of ``shape``."""
    return {"kind": "linear", "shape": list(shape), "bias": bias}


def conv(
    shape: tuple[int, ...], *, bias: bool, stride: Sequence[int] = (1, 1), padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1), groups: int = 1,
) -> Thin:  # fmt: skip
    """Return the description of a convolution with a weight of ``shape``."""
    return {
        "kind": "conv", "shape": list(shape), "bias": bias, "stride": list(stride), "padding": list(padding),
        "dilation": list(dilation), "groups": groups,
    }  # fmt: skip


def layers_of(layer: nn.Module, kind: str, ranks: tuple[int, ...]) -> list[Thin]:
    """Return the thin layers that a factored layer becomes.

    Args:
        layer: `torch.nn.Linear`, or `torch.nn.Conv2d` without groups.
        kind: how the weight is a product: a view of `laconic.format.codes.low_rank.VIEWS`, ``tucker`` or ``canonical``.
        ranks: one, or two of Tucker.

    Returns:
        In the order in which they run; nothing where there is no such form of this layer.
    """
    bias = getattr(layer, "bias", None) is not None
    if type(layer) is nn.Linear and kind == "out|in.kh.kw":
        return [
            linear((ranks[0], layer.in_features), bias=False),
            linear((layer.out_features, ranks[0]), bias=bias),
        ]
    if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.padding_mode != "zeros":
        return []
    if isinstance(layer.padding, str):
        return []
    out, in_, (kh, kw) = layer.out_channels, layer.in_channels, layer.kernel_size
    whole = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    column, row = ({key: _only(pair, axis, key) for key, pair in whole.items()} for axis in (0, 1))
    if kind == "out|in.kh.kw":
        return [conv((ranks[0], in_, kh, kw), bias=False, **whole), conv((out, ranks[0], 1, 1), bias=bias)]
    if kind == "out.kh|in.kw":
        return [conv((ranks[0], in_, 1, kw), bias=False, **row), conv((out, ranks[0], kh, 1), bias=bias, **column)]
    if kind == "out.kw|in.kh":
        return [conv((ranks[0], in_, kh, 1), bias=False, **column), conv((out, ranks[0], 1, kw), bias=bias, **row)]
    first, second = conv((ranks[-1], in_, 1, 1), bias=False), conv((out, ranks[0], 1, 1), bias=bias)
    if kind == "tucker":
        return [first, conv((ranks[0], ranks[1], kh, kw), bias=False, **whole), second]
    rank = ranks[0]
    return [
        first,
        conv((rank, 1, kh, 1), bias=False, groups=rank, **column),
        conv((rank, 1, 1, kw), bias=False, groups=rank, **row),
        second,
    ]


def _only(pair: Sequence[int], axis: int, key: str) -> tuple[int, int]:
    """Return a stride, padding or dilation along one axis alone."""
    plain = 0 if key == "padding" else 1
    return (pair[0], plain) if axis == 0 else (plain, pair[1])


def made(layers: Sequence[Mapping[str, Any]], like: torch.Tensor) -> nn.Sequential:
    """Return the layers of a description, with weights that nobody has set.

    Raises:
        FormatError: for what describes no such layer: whoever wrote the file may have written it.
    """
    return nn.Sequential(*(_made(layer, like) for layer in layers))


def _made(layer: Mapping[str, Any], like: torch.Tensor) -> nn.Module:
    """Return one thin layer."""
    ndim = {"linear": 2, "conv": 4}.get(str(layer.get("kind")), 0)
    shape = _sizes(layer, "shape", ndim, 1)
    if not ndim or math.prod(shape) > _LARGEST or not isinstance(layer.get("bias"), bool):
        raise FormatError(f"a thin layer of kind {layer.get('kind')!r} and shape {shape} cannot be made")
    bias = bool(layer["bias"])
    how: dict[str, Any] = {"bias": bias, "device": like.device, "dtype": like.dtype}
    if ndim == 2:
        return nn.utils.skip_init(nn.Linear, shape[1], shape[0], **how)
    groups = layer.get("groups", 1)
    if not isinstance(groups, int) or groups < 1 or shape[0] % groups or groups * shape[1] > _LARGEST:
        raise FormatError(f"a thin convolution of shape {shape} in {groups!r} groups cannot be made")
    places = {key: _sizes(layer, key, 2, least) for key, least in (("stride", 1), ("padding", 0), ("dilation", 1))}
    return nn.utils.skip_init(nn.Conv2d, groups * shape[1], shape[0], shape[2:], groups=groups, **places, **how)


def _sizes(layer: Mapping[str, Any], key: str, count: int, least: int) -> tuple[int, ...]:
    """Return so many sizes of a description.

    Raises:
        FormatError: when they are no such numbers.
    """
    given = layer.get(key)
    fine = isinstance(given, list) and len(given) == count
    if not fine or not all(type(size) is int and least <= size <= _LARGEST for size in given or ()):
        raise FormatError(f"a thin layer has {key} {str(given)[:60]}, not {count} sizes")
    return tuple(given or ())


def factor(module: nn.Module, path: str, layers: Sequence[Mapping[str, Any]]) -> None:
    """Put thin layers in the place of a layer, in place; their weights are not set.

    Raises:
        FormatError: when there is no such layer, or the thin ones are none.
    """
    parts = dict(module.named_modules())
    layer = parts.get(path)
    if not path or not isinstance(layer, nn.Linear | nn.Conv2d):
        raise FormatError(f"{path!r} is no layer that can be factored; give the network that this file is of")
    owner, _, leaf = path.rpartition(".")
    setattr(parts[owner], leaf, made(layers, layer.weight))
