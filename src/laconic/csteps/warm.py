"""Never worse than the last codes: what the C steps share."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import project
from laconic.format.codes import Code
from laconic.models.params import Params, decompress, dtype_name, to_torch
from laconic.theory.metric import Metrics, Unit

Kind = TypeVar("Kind", bound=Code)


def distortion(codes: Codes, weights: Params, metrics: Metrics | None = None) -> float:
    """Return `Σ_t ‖w_t − Δ_t(Θ)‖²_metric` over the tensors of ``weights``, in float64."""
    metrics = metrics or {}
    return sum(
        metrics.get(name, Unit()).error(tensor, to_torch(codes[name].decompress()).to(tensor.device))
        for name, tensor in weights.items()
    )


def of_kind(kind: type[Kind], codes: Codes | None, weights: Params) -> Mapping[str, Kind] | None:
    """Return the codes of ``weights``, or None unless there is one of this kind, shape and dtype for each tensor."""
    warm_codes: dict[str, Kind] = {}
    for name, tensor in weights.items():
        code = (codes or {}).get(name)
        if not isinstance(code, kind) or (code.shape, code.dtype) != (tuple(tensor.shape), dtype_name(tensor)):
            return None
        warm_codes[name] = code
    return warm_codes


def better(
    new: Mapping[str, Code],
    warm: Mapping[str, Kind] | None,
    weights: Params,
    metrics: Metrics | None,
    allows: Callable[[Mapping[str, Kind]], bool],
) -> dict[str, Code]:
    """Return ``new``, or ``warm`` where that has less distortion and is feasible by ``allows``."""
    if warm is None or distortion(new, weights, metrics) <= distortion(warm, weights, metrics):
        return dict(new)
    return dict(warm) if allows(warm) else dict(new)


def feasible(compression: Compression, codes: Codes) -> bool:
    """Say whether ``codes`` lie in the set that ``compression`` projects on: whether projecting moves nothing.

    They are handed over as warm codes too, which a compression keeps where they are feasible and nothing is better.
    """
    weights = decompress(codes)
    return distortion(project(compression, weights, warm=codes), weights) == 0
