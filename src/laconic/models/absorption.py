"""Batch normalization whose statistics are in its own scale and shift, without a change of names or shapes.

In evaluation mode `y = γ (x − mean) / √(var + ε) + β`. With 1 − ε rounded to the type of the variance, and
d = √((1 − ε) + ε),

    γ ← γ d / √(var + ε)      β ← β − γ mean / √(var + ε)      var ← 1 − ε      mean ← 0

where γ and β on the right are the old ones. Outputs stay as they were, whatever the normalization reads and whoever
else reads it; statistics are constants, and the weights of the layer before keep their scale. `laconic.models.folding`
puts γ into that layer, too. To absorb twice is to absorb once.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laconic.errors import WeightsError
from laconic.models.params import Params, first_names, once, require_finite

_KINDS = ("weight", "bias", "running_mean", "running_var")
_WANTS = "lacks {}: a scale and a shift of its own take up its running statistics"
_SHARED = "shares {} with another part of the network"
_OUT_OF_RANGE = "has a variance of 0 or less, or one that takes scale or shift out of the range of their type"


@final
@dataclass(frozen=True)
class Absorbed:
    """Which normalizations of a module have their statistics in their own scale and shift.

    Args:
        norms: their names, as of `named_modules`.
        left: name of each other normalization → why it is left alone.
    """

    norms: tuple[str, ...]
    left: Mapping[str, str]


@torch.no_grad()
def absorbed(module: nn.Module, params: Params, but: Mapping[str, str]) -> tuple[dict[str, Tensor], Absorbed]:
    """Return ``params`` with the statistics of each batch normalization in its scale and shift, and which these are.

    Args:
        module: it stays as it is.
        params: its parameters and buffers by name, tied ones under any of theirs, or under several.
        but: name of a normalization that is to stay as it is → why.

    Raises:
        WeightsError: when a tensor is missing, not finite or of another shape than the module has it.
    """
    parts = dict(module.named_modules())
    norms = {name: part for name, part in parts.items() if isinstance(part, _BatchNorm)}
    owners = Counter(id(tensor) for part in parts.values() for tensor in _own(part).values())
    firsts, kept, new = first_names(module), once(module, params), dict[str, Tensor]()
    left = dict(but)
    for name, norm in norms.items():
        if name in left:
            continue
        if why := _why_not(norm, owners):
            left[name] = why
            continue
        names = {kind: ".".join(filter(None, (name, kind))) for kind in _KINDS}
        given = {kind: _given(names[kind], tensor, firsts, kept, params) for kind, tensor in _own(norm).items()}
        changed = absorbed_in_one(given, norm.eps)
        if changed is None:
            left[name] = _OUT_OF_RANGE
        else:
            new |= {firsts[names[kind]]: tensor for kind, tensor in changed.items()}
    done = tuple(name for name in norms if name not in left)
    return {name: new.get(firsts.get(name, name), tensor) for name, tensor in params.items()}, Absorbed(done, left)


def absorbed_in_one(given: Params, eps: float) -> dict[str, Tensor] | None:
    """Return the four tensors of a normalization with its statistics absorbed, or None where that is out of range.

    All is computed in float64, in main memory, and rounded once to the type that a tensor has.

    Args:
        given: "weight", "bias", "running_mean" and "running_var", shape (channels,).
        eps: ε, above 0 or 0.
    """
    scale, shift, mean, var = (given[kind].detach().to("cpu", torch.float64) for kind in _KINDS)
    unit = torch.tensor(1 - eps, dtype=torch.float64).to(given["running_var"].dtype).double()
    gain = scale / (var + eps).sqrt()
    new = {
        "weight": gain * (unit + eps).sqrt(), "bias": shift - gain * mean,
        "running_mean": torch.zeros_like(mean), "running_var": unit.expand_as(var),
    }  # fmt: skip
    typed = {kind: tensor.to(given[kind].device, given[kind].dtype).contiguous() for kind, tensor in new.items()}
    return typed if all(bool(tensor.isfinite().all()) for tensor in typed.values()) else None


def _own(part: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that a part has itself, of the kinds that a normalization has."""
    there = {**part._parameters, **part._buffers}
    return {kind: tensor for kind in _KINDS if (tensor := there.get(kind)) is not None}


def _why_not(norm: _BatchNorm, owners: Mapping[int, int]) -> str:
    """Return the reason why a normalization cannot take up its statistics, or ""."""
    own = _own(norm)
    missing: Collection[str] = [kind for kind in _KINDS if kind not in own]
    shared = [kind for kind, tensor in own.items() if owners[id(tensor)] > 1]
    return _WANTS.format(", ".join(missing)) if missing else _SHARED.format(", ".join(shared)) if shared else ""


def _given(name: str, own: Tensor, firsts: Mapping[str, str], kept: Mapping[str, str], params: Params) -> Tensor:
    """Return what the params have for a tensor of the module.

    Raises:
        WeightsError: when it is missing, not finite or of another shape.
    """
    by = kept.get(firsts[name])
    if by is None:
        raise WeightsError(f"the weights lack {name}; laconic.models.params.params_of gives them all")
    if params[by].shape != own.shape:
        shapes = f"{tuple(own.shape)}, not {tuple(params[by].shape)}"
        raise WeightsError(f"{by}: the module's shape is {shapes}; give weights of this very module")
    require_finite(by, params[by])
    return params[by]
