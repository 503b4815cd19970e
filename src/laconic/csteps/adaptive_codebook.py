"""Quantization with a learned codebook: k-means on the line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from laconic.clustering import cluster, nearest
from laconic.codes import Code, CodebookCode, Symbols, Values
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.warm import better
from laconic.errors import PlanError, WeightsError
from laconic.metric import Metrics, diagonal_of
from laconic.params import Params, dtype_name, require_finite, to_numpy


@final
@dataclass(frozen=True)
class AdaptiveCodebook(Compression):
    """Each weight takes one of K values, which are learned; all tensors given together share them.

        min over c, κ   Σ_t Σ_i h_ti (w_ti − c_κ(t,i))²,   κ(t,i) in range(K)

    Method: `laconic.clustering.cluster`: the global optimum for up to about 10⁶/K distinct values, and within 0.3 %
    of it beyond; O(P log P). Entries are rounded to the dtype of the tensors and weights go to the nearest rounded
    entry. Tensors of several dtypes share entries of a type that holds them all, which each rounds to its own: only
    then may projecting twice move weights again, by such roundings. Entries that no weight takes are left out.

    Source: Carreira-Perpiñán & Idelbayev 2017 (arXiv 1707.04319), section 4.1; Wu & Rokne 1989 for the optimum.
    Departure: k-means++ and its restarts are replaced by dynamic programming.

    Args:
        entries: K, at least 1.

    Raises:
        PlanError: when ``entries`` is below 1.

    >>> code = AdaptiveCodebook(2).project({"w": torch.tensor([1.0, 2.0, 9.0])})["w"]
    >>> code.decompress()
    array([1.5, 1.5, 9. ], dtype=float32)
    """

    entries: int

    def __post_init__(self) -> None:
        if self.entries < 1:
            raise PlanError(f"entries must be at least 1, not {self.entries}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `CodebookCode` a tensor, all with the same codebook; exact for small tensors (see the class).

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights.
        """
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        values = np.concatenate([np.zeros(0, np.float32), *arrays.values()])
        last = self._last(weights, warm)
        centres = cluster(values, _importances(weights, metrics or {}), self.entries, last)
        new = encode(centres, arrays, weights)
        if last is None:
            return new
        return better(new, encode(last, arrays, weights), weights, metrics, lambda codes: True)

    def _last(self, weights: Params, warm: Codes | None) -> np.ndarray | None:
        """Return the codebook of ``warm``, of any shapes, where it is one for all tensors and not too large."""
        codes = [(warm or {}).get(name) for name in weights]
        books = [code.codebook.array.astype(np.float64) for code in codes if isinstance(code, CodebookCode)]
        if not books or len(books) < len(codes) or any(not np.array_equal(books[0], book) for book in books):
            return None
        book = np.unique(books[0])
        return book if 0 < len(book) <= self.entries and np.isfinite(book).all() else None


def flat(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Return the weights as float32 or float64, shape (n,)."""
    require_finite(name, tensor)
    array = to_numpy(tensor).reshape(-1)
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def _importances(weights: Params, metrics: Metrics) -> np.ndarray | None:
    """Return h of all tensors, one after the other, or None when all of it is 1."""
    given = {name: diagonal_of(metrics, name, tensor) for name, tensor in weights.items()}
    if all(h is None for h in given.values()):
        return None
    parts = [torch.ones_like(weights[name]) if h is None else h for name, h in given.items()]
    dtype = torch.float64 if any(h.dtype == torch.float64 for h in parts) else torch.float32
    return np.concatenate([to_numpy(h.to(dtype)).reshape(-1) for h in parts])


def encode(centres: np.ndarray, arrays: Mapping[str, np.ndarray], weights: Params) -> dict[str, Code]:
    """Return the codes whose codebook is ``centres``, rounded, without entries that no weight takes."""
    dtypes = {name: dtype_name(tensor) for name, tensor in weights.items()}
    rounded = np.unique(centres.astype(_widest(set(dtypes.values()))).astype(np.float64))
    chosen = {name: _choose(name, array, rounded, dtypes[name]) for name, array in arrays.items()}
    used = np.zeros(len(rounded), bool)
    for indices in chosen.values():
        used[indices] = True
    codebook, rank = Values(rounded[used].astype(_widest(set(dtypes.values())))), np.cumsum(used) - 1
    return {
        name: CodebookCode(
            tuple(tensor.shape),
            dtypes[name],
            codebook,
            Symbols(chosen[name] if used.all() else rank[chosen[name]], len(codebook)),
        )
        for name, tensor in weights.items()
    }


def _choose(name: str, array: np.ndarray, entries: np.ndarray, dtype: str) -> np.ndarray:
    """Return the nearest entry for each weight, of the entries as a tensor of ``dtype`` will hold them."""
    with np.errstate(over="ignore"):
        held = entries.astype(dtype).astype(np.float64)
    if len(array) and not np.isfinite(held).any():
        raise WeightsError(f"{name}: no entry of the shared codebook fits into {dtype}; give it one of its own")
    return nearest(array, held)


def _widest(dtypes: set[str]) -> str:
    """Return the dtype that holds what each of ``dtypes`` does: the only one, or float32 or float64."""
    return next(iter(dtypes)) if len(dtypes) == 1 else "float64" if "float64" in dtypes else "float32"
