"""A layer whose weight is a product as a few thin layers, one after the other.

    y = W x + b    with    W = L R                         →  R, then L with b
                           W = U ×core× V  (Tucker-2)      →  V (1 × 1), core (k × k), U (1 × 1) with b
                           W = Σ_r a_r ∘ c_r ∘ h_r ∘ v_r   →  c (1 × 1), h (k × 1), v (1 × k), each channel by itself, a

Sources: Jaderberg, Vedaldi & Zisserman (BMVC 2014) for a column of convolutions and then a row; Kim et al. (ICLR 2016,
arXiv 1511.06530) for three of Tucker-2; Lebedev et al. (ICLR 2015, arXiv 1412.6553) for four of a canonical
decomposition. Each keeps the weights' values; the order of the sums is another, so that outputs differ by rounding.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import nn

from laconic.deploy.compact import put
from laconic.errors import FormatError
from laconic.format.codes.low_rank import VIEWS

KINDS = (*VIEWS, "tucker", "canonical")
"""How a weight is a product: as a matrix, by the view of its rows and columns, or as a tensor."""

_LARGEST = 1 << 28
"""A rank at most, times what the layer has of inputs and outputs: files are read by whoever gets them."""


@final
class Factored(nn.Sequential):
    """Thin layers in place of one."""

    @property
    def weight(self) -> torch.Tensor:
        """The product of two dense layers, shape (outputs, inputs): `torch.nn.TransformerEncoderLayer` reads it."""
        right, left = self
        if not (isinstance(right, nn.Linear) and isinstance(left, nn.Linear)):
            raise AttributeError("thin convolutions have no weight as a whole")
        return left.weight @ right.weight

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the layer, which the last one adds."""
        bias = self[-1].bias
        assert bias is None or isinstance(bias, torch.Tensor), "the last one is a layer"
        return bias


def thin(layer: nn.Module, kind: str, ranks: Sequence[int]) -> Factored | None:
    """Return the thin layers that a factored layer becomes, in the order in which they run; nobody has set the weights.

    Args:
        layer: `torch.nn.Linear`, or `torch.nn.Conv2d` without groups.
        kind: of `KINDS`.
        ranks: one, or two of Tucker: of outputs and of inputs.

    Returns:
        None where there is no such form of this layer.
    """
    first, last = ranks[-1], ranks[0]
    if type(layer) is nn.Linear and kind == VIEWS[0]:
        return Factored(
            _empty(nn.Linear(layer.in_features, first, bias=False, device="meta"), layer),
            _empty(nn.Linear(first, layer.out_features, layer.bias is not None, device="meta"), layer),
        )
    if not isinstance(layer, nn.Conv2d) or type(layer) is not nn.Conv2d or isinstance(layer.padding, str):
        return None
    if layer.groups != 1 or layer.padding_mode != "zeros":
        return None

    def conv(before: int, after: int, axes: str, *, last: bool = False, groups: int = 1) -> nn.Module:
        """Return a convolution that goes along the axes named, ``h`` and ``w``."""
        sizes = [(getattr(layer, key)[i] if axis in axes else plain) for key, plain in _PLACES for i, axis in _AXES]
        kernel, stride, padding, dilation = zip(sizes[::2], sizes[1::2], strict=True)
        made = nn.Conv2d(
            before, after, kernel, stride, padding, dilation, groups, last and layer.bias is not None, device="meta"
        )
        return _empty(made, layer)

    out, in_ = layer.out_channels, layer.in_channels
    if kind == "tucker":
        parts = [conv(in_, first, ""), conv(first, last, "hw"), conv(last, out, "", last=True)]
    elif kind == "canonical":
        middle = [conv(first, first, axis, groups=first) for axis in "hw"]
        parts = [conv(in_, first, ""), *middle, conv(first, out, "", last=True)]
    else:
        before, after = {VIEWS[0]: ("hw", ""), VIEWS[1]: ("w", "h"), VIEWS[2]: ("h", "w")}[kind]
        parts = [conv(in_, first, before), conv(first, out, after, last=True)]
    return Factored(*parts)


_PLACES = (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
_AXES = ((0, "h"), (1, "w"))


def _empty(made: nn.Module, like: nn.Module) -> nn.Module:
    """Return a layer of the meta device with memory, in the type and on the device of another one's weight."""
    weight = like.weight
    assert isinstance(weight, torch.Tensor), "layers have weights"
    return made.to(weight.dtype).to_empty(device=weight.device)


def factor(module: nn.Module, path: str, kind: str, ranks: Sequence[int]) -> None:
    """Put thin layers in the place of a layer, in place; their weights are not set.

    Raises:
        FormatError: when there is no such layer, or no such thin ones of it: whoever wrote the file may say anything.
    """
    parts = dict(module.named_modules())
    layer = parts.get(path)
    wide = sum(layer.weight.shape[:2]) * 2 if isinstance(layer, nn.Linear | nn.Conv2d) else _LARGEST
    fits = kind in KINDS and len(ranks) == (2 if kind == "tucker" else 1) and max(ranks) * wide <= _LARGEST
    made = thin(layer, kind, ranks) if path and layer is not None and fits else None
    if made is None:
        raise FormatError(f"{path!r} is no layer that is {kind!r} of rank {list(ranks)}; give the network of this file")
    put(module, path, made)
