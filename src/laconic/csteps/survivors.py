"""What prunings share: what it costs to leave a weight out, and the codes of those that stay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, final

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import project
from laconic.errors import WeightsError
from laconic.format.codes import Code, DenseCode, SparseCode, Symbols
from laconic.models.params import Params, dtype_name, require_finite, to_numpy
from laconic.theory.metric import Diagonal, Metric, Metrics, Quartic, diagonal_of

Kind = TypeVar("Kind", bound=Code)


@final
@dataclass(frozen=True)
class Support:
    """Which weights may differ from zero, bit by bit.

    Args:
        bits: by tensor, its weights in row-major order, eight to a byte.

    >>> Support.of({"w": sparse_of(torch.tensor([0.0, 2.0, 0.0, 1.0]))}).mask("w", 4)
    array([False,  True, False,  True])
    """

    bits: Mapping[str, bytes]

    @classmethod
    def of(cls, codes: Codes) -> "Support":
        """Return that of codes: the weights that they store, and of codes that are not sparse all that are not zero."""
        return cls.where({n: c.mask.array if isinstance(c, SparseCode) else c.decompress() for n, c in codes.items()})

    @classmethod
    def where(cls, masks: Mapping[str, np.ndarray]) -> "Support":
        """Return that of masks, or of numbers: what is not zero."""
        return cls({name: np.packbits(mask.reshape(-1) != 0).tobytes() for name, mask in masks.items()})

    @property
    def count(self) -> int:
        """How many weights it has."""
        return sum(int(np.unpackbits(np.frombuffer(bits, np.uint8)).sum()) for bits in self.bits.values())

    def mask(self, name: str, size: int) -> np.ndarray:
        """Return which of the ``size`` weights of a tensor it has, bool of shape (size,).

        Raises:
            WeightsError: when it knows no such tensor, or one of another size.
        """
        bits = self.bits.get(name)
        if bits is None or len(bits) != -(-size // 8):
            raise WeightsError(f"{name}: the support is of other tensors: {', '.join(self.bits) or 'none'}")
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=size).astype(bool)


def root_losses(name: str, tensor: Tensor, metrics: Metrics) -> np.ndarray:
    """Return the root of the distortion of each weight as zero, shape (n,), and −1 where the weight is zero.

    It is |w| under the unit metric, √(h w²) under importances, √(g w² + h w⁴) under a quartic metric: the score of
    optimal brain damage, whose square a support of weights pays for those that it leaves out.

    Raises:
        UnsupportedMetric: for a metric of another kind.
        WeightsError: for NaN and infinite weights, and a metric of another shape.
    """
    require_finite(name, tensor)
    metric = metrics.get(name)
    size = (tensor.detach() if tensor.dtype == torch.float64 else tensor.detach().float()).abs()
    if isinstance(metric, Quartic):
        if metric.quadratic.shape != tensor.shape:
            shapes = f"{tuple(metric.quadratic.shape)}, weights {tuple(tensor.shape)}"
            raise WeightsError(f"{name}: importances of shape {shapes}")
        size = size.double()
        size = torch.hypot(metric.quadratic.double().sqrt(), metric.quartic.double().sqrt() * size) * size
    else:
        h = diagonal_of(metrics, name, tensor)
        size = size if h is None else h.double().sqrt() * size.double()
    return to_numpy(torch.where(tensor == 0, -1.0, size)).reshape(-1)


def split(flat: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cut what is given for all tensors, one after the other, into the part of each; the inverse of `joined`."""
    ends = np.cumsum([len(part) for part in like.values()])
    return dict(zip(like, np.split(flat, ends[:-1]), strict=True)) if like else {}


def joined(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the parts of all tensors, one after the other."""
    return np.concatenate([np.zeros(0, np.float32), *parts.values()])


def compress_survivors(
    weights: Params,
    masks: Mapping[str, np.ndarray],
    metrics: Metrics,
    values: Compression,
    warm: Codes | None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Code]:
    """Return the codes of the weights that stay.

    Args:
        weights: tensors by name.
        masks: by name, which weights stay, bool of shape (n,).
        metrics: of the tensors; the survivors have theirs.
        values: the compression of the survivors.
        warm: the last codes of the survivors.
        shapes: by name, how the survivors, in row-major order, are a tensor; flat without.
    """
    survivors: dict[str, Tensor] = {}
    inner: dict[str, Metric] = {}
    for name, tensor in weights.items():
        mask, shape = torch.from_numpy(masks[name]), shapes[name] if shapes else (-1,)

        def taken(full: Tensor, mask: Tensor = mask, shape: tuple[int, ...] = shape) -> Tensor:
            return full.detach().reshape(-1)[mask.to(full.device)].reshape(shape)

        survivors[name] = taken(tensor)
        metric = metrics.get(name)
        if isinstance(metric, Diagonal):
            inner[name] = Diagonal(taken(metric.importance))
        elif isinstance(metric, Quartic):
            inner[name] = Quartic(taken(metric.quadratic), taken(metric.quartic))
    return project(values, survivors, inner, warm)


def sparse(
    weights: Params,
    masks: Mapping[str, np.ndarray],
    metrics: Metrics,
    values: Compression,
    warm_codes: Mapping[str, SparseCode] | None,
) -> dict[str, SparseCode]:
    """Return one `SparseCode` a tensor, of the weights that ``masks`` keep; arguments as `compress_survivors`."""
    inner: Codes | None = warm_codes and {name: code.values for name, code in warm_codes.items()}
    codes = compress_survivors(weights, masks, metrics, values, inner)
    return {
        name: SparseCode(tuple(tensor.shape), dtype_name(tensor), Symbols(masks[name].view(np.uint8), 2), codes[name])
        for name, tensor in weights.items()
    }


def sparse_in(
    weights: Params, metrics: Metrics | None, values: Compression, warm_codes: Mapping[str, SparseCode] | None
) -> dict[str, SparseCode]:
    """Return one `SparseCode` a tensor, of the weights that are not zero; arguments as `compress_survivors`."""
    masks = {name: to_numpy(tensor != 0).reshape(-1) for name, tensor in weights.items()}
    return sparse(weights, masks, metrics or {}, values, warm_codes)


def sparse_of(tensor: Tensor) -> SparseCode:
    """Return ``tensor`` as it is, its zeros left out."""
    flat = to_numpy(tensor).reshape(-1)
    mask = np.asarray(flat != 0)
    return SparseCode(
        tuple(tensor.shape), dtype_name(tensor), Symbols(mask.view(np.uint8), 2), DenseCode.of(flat[mask])
    )


def cheaper(
    new: Mapping[str, Kind], warm: Mapping[str, Kind] | None, objective: Callable[[Mapping[str, Kind]], float]
) -> dict[str, Code]:
    """Return ``new``, or ``warm`` where that has a lower objective."""
    return dict(new) if warm is None or objective(new) <= objective(warm) else dict(warm)
