"""Compact layers in place of one: depthwise and pointwise, one tap alone, a mean of each map before a dense layer.

    y[o] = Σ_i W[o,i] ∗ x[i]     →   Σ_{i,r} p[o,i,r] (d[i,r] ∗ x[i])      separable
                                 →   Σ_i p[o,i] x[i]                       pointwise
    y[k] = Σ_{c,q} W[k,c,q] x[c,q]  →  Σ_c v[k,c] mean_q x[c,q]            pooled

Howard et al. 2017 (MobileNets) for the first, Lin, Chen & Yan 2014 (network in network) for the last. Between the two
convolutions there may be batch normalization, or that and a ReLU. How weights begin is `laconic.deploy.rewriting`.
"""

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from laconic.errors import FormatError

KINDS = ("separable", "separable-norm", "separable-relu", "pointwise", "pooled")
"""What a layer becomes."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@final
class Compact(nn.Sequential):
    """Compact layers in place of one.

    Args:
        kind: of `KINDS`.
        sizes: as `why_not` has them.
        layers: in the order in which they run.
    """

    def __init__(self, kind: str, sizes: Sequence[int], *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.kind, self.sizes = kind, tuple(sizes)

    @property
    def how(self) -> tuple[str, *tuple[int, ...]]:
        """What it became, as edits say it."""
        return (self.kind, *self.sizes)


@final
class Averaged(nn.Module):
    """The mean of each map of a flattened one: global average pooling after the maps were flattened.

    Args:
        positions: of a map.
    """

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.positions = positions

    def forward(self, inputs: Float[Tensor, "... flat"]) -> Float[Tensor, "... c"]:
        """Return the means."""
        return inputs.reshape(*inputs.shape[:-1], -1, self.positions).mean(-1)

    def extra_repr(self) -> str:
        """Return what is printed of it."""
        return f"positions={self.positions}"


def why_not(layer: nn.Module, kind: str, sizes: Sequence[int]) -> str:
    """Return why a layer cannot become compact layers of a kind, or nothing.

    Args:
        layer: any.
        kind: of `KINDS`.
        sizes: the rank, kernels for each channel that is read, of a separable one; positions of a map of a pooled one.
    """
    if kind == "pooled":
        if type(layer) is not nn.Linear:
            return f"is a {type(layer).__name__}; only a dense layer reads a flattened map"
        (positions,) = sizes
        if layer.in_features % positions:
            return f"reads {layer.in_features} numbers, which are no maps of {positions} positions"
        return "" if positions > 1 else "reads maps of one position: it is what it would become"
    if type(layer) not in CONVOLUTIONS:
        return f"is a {type(layer).__name__}, not a plain convolution"
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d), "one of the three"
    taps = math.prod(layer.kernel_size)
    if layer.groups != 1:
        return f"has {layer.groups} groups already, of {layer.in_channels} channels"
    if taps == 1:
        return "has a kernel of one tap already"
    if kind == "pointwise":
        return _off_centre(layer)
    (rank,) = sizes
    if rank > min(taps, layer.out_channels):
        return f"has kernels of rank {min(taps, layer.out_channels)} at most, not {rank}"
    return ""


def _off_centre(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> str:
    """Return why one tap alone would write maps of another size, or nothing."""
    if layer.padding == "same":
        return "" if all(side % 2 for side in layer.kernel_size) else f"has kernels of even sides {layer.kernel_size}"
    same = tuple(d * (k - 1) / 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
    if layer.padding != same or not all(side % 2 for side in layer.kernel_size):
        return (
            f"has padding {layer.padding}, with which one tap of {layer.kernel_size} would write maps of another size"
        )
    return ""


def compact(layer: Any, kind: str, sizes: Sequence[int]) -> Compact:
    """Return the compact layers that a layer becomes; nobody has set their weights but those of normalizations.

    Args:
        layer: for which `why_not` says nothing.
        kind: as there.
        sizes: as there.
    """
    if kind == "pooled":
        (positions,) = sizes
        dense = nn.Linear(layer.in_features // positions, layer.out_features, layer.bias is not None, device="meta")
        return Compact(kind, sizes, Averaged(positions), _empty(dense, layer))
    convolution, before, after = type(layer), layer.in_channels, layer.out_channels
    if kind == "pointwise":
        one = convolution(before, after, 1, layer.stride, bias=layer.bias is not None, device="meta")
        return Compact(kind, sizes, _empty(one, layer))
    (rank,) = sizes
    wide = before * rank
    depthwise = convolution(
        before, wide, layer.kernel_size, layer.stride, layer.padding, layer.dilation, before, False,
        layer.padding_mode, device="meta",
    )  # fmt: skip
    biased = layer.bias is not None or kind == "separable-relu"  # which takes out what the ReLU is moved by
    pointwise = convolution(wide, after, 1, bias=biased, device="meta")
    norm = _NORMS[CONVOLUTIONS.index(convolution)](wide, device="meta")
    between = {"separable": (), "separable-norm": (norm,), "separable-relu": (norm, nn.ReLU())}[kind]
    return Compact(kind, sizes, *(_empty(part, layer) for part in (depthwise, *between, pointwise)))


def become(module: nn.Module, path: str, kind: str, sizes: Sequence[int]) -> None:
    """Put compact layers in the place of a layer, in place; where they are there already nothing is changed.

    Raises:
        FormatError: when there is no such layer, or no such compact ones of it: a file may say anything.
    """
    layer = dict(module.named_modules()).get(path)
    if isinstance(layer, Compact):
        return
    asked = f"{path!r} is to be rewritten as {kind!r} {list(sizes)}"
    if not path or layer is None or kind not in KINDS or len(sizes) != (kind != "pointwise"):
        raise FormatError(f"{asked}, which this network has no layer for; give the network of this file")
    if why := why_not(layer, kind, sizes):
        raise FormatError(f"{asked}, but it {why}; give the network of this file")
    put(module, path, compact(layer, kind, sizes).train(layer.training))


def put(module: nn.Module, path: str, made: nn.Module) -> None:
    """Put a layer in the place of another, in place."""
    owner, _, leaf = path.rpartition(".")
    setattr(module.get_submodule(owner), leaf, made)


def _empty(made: nn.Module, like: nn.Module) -> nn.Module:
    """Return a layer of the meta device with memory, in the type and on the device of another one's weight."""
    weight = like.weight
    assert isinstance(weight, torch.Tensor), "layers have weights"
    made = made.to_empty(device=weight.device).to(weight.dtype)
    if isinstance(made, _NORMS):
        made.reset_parameters()
    return made
