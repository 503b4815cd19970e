"""A file beside the checkpoint that was compressed: the error of each tensor, histograms before and after, filters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from laconic.format.coding import FLOATS
from laconic.format.lossless import is_mask

BINS = 41
"""Of a histogram."""

FILTERS = 32
"""Filters of the first layer that are shown, at most."""

_SIDE = 32  # pixels of a filter, at most
_TAIL = 0.001  # of the weights, on either side, lie beyond the bins and are counted in the last one


@final
@dataclass(frozen=True)
class Histogram:
    """How weights are spread.

    Args:
        low: where the first bin begins.
        high: where the last one ends.
        before: weights in each bin, of the checkpoint; the first and the last have all beyond them too.
        after: likewise of the file.
    """

    low: float
    high: float
    before: tuple[int, ...]
    after: tuple[int, ...]


@final
@dataclass(frozen=True)
class Change:
    """What became of a tensor.

    Args:
        name: of the tensor.
        snr: 10 log₁₀ Σ w² / Σ (w − ŵ)², dB; None where nothing has changed, or where all was 0.
        error: Σ (w − ŵ)².
        share: of the squared error of all tensors.
        histogram: of weights with two axes or more.
    """

    name: str
    snr: float | None
    error: float
    share: float
    histogram: Histogram | None


@final
@dataclass(frozen=True, eq=False)
class Filters:
    """Filters of the first layer, as images.

    Args:
        name: of the weight.
        before: shape (filters, height, width, 1 or 3), of the checkpoint.
        after: likewise of the file.
    """

    name: str
    before: np.ndarray
    after: np.ndarray


def compared(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> tuple[Change, ...]:
    """Return what became of the tensors of floats that both have in one shape, in the order of the file.

    >>> (one,) = compared({"w": np.float32([[3, 4]])}, {"w": np.float32([[3, 3.5]])})
    >>> one.snr, one.error
    (20.0, 0.25)
    """
    found = []
    for name in after:
        new = after[name]
        old = before[name] if name in before else None
        if old is None or old.shape != new.shape or new.dtype.name not in FLOATS or old.dtype.name not in FLOATS:
            continue
        w, v = old.astype(np.float64), new.astype(np.float64)
        error, energy = _error(w, v), float(np.square(w).sum())
        snr = 10 * math.log10(energy / error) if 0 < energy < math.inf and 0 < error < math.inf else None
        found.append(Change(name, snr, error, 0.0, _histogram(w, v) if w.ndim > 1 and w.size else None))
    total = sum(one.error for one in found)
    return tuple(
        Change(one.name, one.snr, one.error, one.error / total if total > 0 else 0.0, one.histogram) for one in found
    )


def _error(w: np.ndarray, v: np.ndarray) -> float:
    """Return Σ (w − v)², float64; infinities that stayed are no error."""
    return float(np.square(np.subtract(w, v, where=w != v, out=np.zeros_like(w))).sum())


def signal(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> float | None:
    """Return the SNR of all weights with two axes or more together, dB; None where there is no error."""
    energy = error = 0.0
    for name, new in after.items():
        if name in before and new.ndim > 1 and new.dtype.name in FLOATS and before[name].shape == new.shape:
            w = before[name].astype(np.float64)
            if not is_mask(w) or np.isfinite(w).all():
                energy, error = energy + float(np.square(w).sum()), error + _error(w, new.astype(np.float64))
    return 10 * math.log10(energy / error) if energy > 0 and 0 < error < math.inf else None


def filters(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> Filters | None:
    """Return filters of the first weight whose rows are images: kernels of one or three channels, or square rows.

    Grey is 0; the darkest and the brightest are as far from it as the largest weight of a filter.
    """
    for name, new in after.items():
        old = before.get(name)
        if old is None or old.shape != new.shape or new.ndim < 2:
            continue
        shape = _image(new.shape)
        if shape is None:
            return None
        images = [np.asarray(one, np.float64)[:FILTERS].reshape(-1, *shape) for one in (old, new)]
        top = np.maximum(np.abs(images[0]).max((1, 2, 3), keepdims=True), 1e-30)
        pair = [
            np.moveaxis(127.5 + 127.5 * np.clip(one / top, -1, 1), 1, -1).round().astype(np.uint8) for one in images
        ]
        return Filters(name, pair[0], pair[1])
    return None


def _image(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return channels, height and width of a filter, or None where it is no image."""
    if len(shape) == 4 and shape[1] in (1, 3) and 3 <= min(shape[2:]) and max(shape[2:]) <= _SIDE:
        return shape[1], shape[2], shape[3]
    side = math.isqrt(shape[1]) if len(shape) == 2 else 0
    return (1, side, side) if 5 <= side <= _SIDE and side * side == shape[1] else None


def _histogram(before: np.ndarray, after: np.ndarray) -> Histogram | None:
    """Return the histograms of a weight over what nearly all of it, before and after, lies in."""
    finite = before[np.isfinite(before)]
    if not finite.size or not np.isfinite(after).all():
        return None
    low, high = (float(edge) for edge in np.quantile(finite, (_TAIL, 1 - _TAIL)))
    reach = max(abs(low), abs(high)) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    counts = [np.histogram(np.clip(one, -reach, reach), edges)[0].tolist() for one in (finite, after)]
    return Histogram(-reach, reach, tuple(counts[0]), tuple(counts[1]))


def plain(filters: Filters | None) -> dict[str, Any] | None:
    """Return the record of filters without their pixels."""
    return filters and {"name": filters.name, "filters": len(filters.before)}
