"""Quantization with a learned codebook: k-means on the line."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.flat import flat, group_length, importances, members_of, require_groups, widest
from laconic.csteps.warm import better, distortion, of_kind
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import Code, CodebookCode, GroupedCode, Symbols, Values
from laconic.format.codes.rounding import rounded
from laconic.format.coding import entropy_bits
from laconic.models.params import Params, dtype_name, to_numpy
from laconic.quantize.clustering import (
    cluster,
    cluster_groups,
    lloyd_from,
    nearest,
    nearest_in_groups,
    quartic_clusters,
)
from laconic.quantize.clustering.priced import priced_clusters, settled
from laconic.quantize.clustering.starts import STARTS
from laconic.theory.metric import Metrics, Quartic, diagonal_of


@final
@dataclass(frozen=True)
class AdaptiveCodebook(Compression):
    """Each weight takes one of K values, which are learned; all tensors given together share them.

        min over c, κ   Σ_t Σ_i h_ti (w_ti − c_κ(t,i))² + price · Σ_t bits(κ_t),   κ(t,i) in range(K)

    Method: without a price `laconic.quantize.clustering.cluster`: the global optimum for up to about 10⁶/K distinct
    values, and within 0.3 % of it beyond; O(P log P). Entries are rounded to the dtype of the tensors and weights go
    to the nearest rounded entry. Tensors of several dtypes share entries of a type that holds them all, which each
    rounds to its own: only then may projecting twice move weights again, by such roundings. Entries that no weight
    takes are left out.

    With a price, where bits are what an ideal order-0 coder spends on the indices of each tensor, and for the quartic
    metric, `laconic.quantize.clustering.priced` and `.quartic` go on from that optimum: local optima, no worse than
    their start.

    Source: Carreira-Perpiñán & Idelbayev 2017 (arXiv 1707.04319), section 4.1; Wu & Rokne 1989 for the optimum; Chou,
    Lookabaugh & Gray 1989 for the price; Gao et al. 2019, Algorithm 2, for the quartic error; Han, Mao & Dally 2016,
    section 3.2, for the starts. Departure: k-means++ and its restarts are replaced by dynamic programming.

    Args:
        entries: K, at least 1.
        rows: each row (axis 0) has a codebook of its own.
        group: so many consecutive weights, in row-major order, have a codebook of their own; 0 for one of all.
        start: ``"optimal"``, or a baseline: where Lloyd's iteration starts, ``"linear"``, ``"density"``, ``"random"``.
        seed: of the random start.
        price: of a bit, in the units of h w².

    Raises:
        PlanError: when ``entries`` is below 1, for an unknown start, a negative price, and for two of groups, a start
            and a price at once.

    >>> code = AdaptiveCodebook(2).project({"w": torch.tensor([1.0, 2.0, 9.0])})["w"]
    >>> code.decompress()
    array([1.5, 1.5, 9. ], dtype=float32)
    """

    entries: int
    rows: bool = False
    group: int = 0
    start: str = "optimal"
    seed: int = 0
    price: float = 0.0

    def __post_init__(self) -> None:
        if self.entries < 1:
            raise PlanError(f"entries must be at least 1, not {self.entries}")
        if self.start not in ("optimal", *STARTS):
            raise PlanError(f"start is one of optimal, {', '.join(STARTS)}, not {self.start!r}")
        if not 0 <= self.price < math.inf:
            raise PlanError(f"price is that of a bit, 0 or more and finite, not {self.price}")
        require_groups(self.rows, self.group)
        if (self.rows or self.group > 0) + (self.start != "optimal") + (self.price > 0) > 1:
            raise PlanError("give at most one of groups (rows or group), a start other than optimal, and a price")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `CodebookCode` a tensor, all with the same codebook; a `GroupedCode` where groups have their own.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal; or quartic, for one optimal codebook
                without a price.
            WeightsError: for NaN and infinite weights.
        """
        metrics = metrics or {}
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        if self.rows or self.group:
            return {name: self._grouped(name, array, weights[name], metrics, warm) for name, array in arrays.items()}
        warm_codes = self._last(weights, warm)
        indices = [
            self.encode(c, arrays, weights, metrics, own)
            for c, own in self._centres(arrays, weights, metrics, warm_codes)
        ]
        if warm_codes is not None:
            indices.append(self.encode(warm_codes, arrays, weights, metrics))
            indices.append(of_kind(CodebookCode, warm if self.price else None, weights) or indices[0])
        best = min(indices, key=lambda codes: self._objective(codes, weights, metrics)) if indices[1:] else indices[0]
        return dict(best)

    def scaled(self, factor: float) -> Compression:
        """Scale the price."""
        return replace(self, price=self.price * factor)

    def penalty(self, codes: Codes) -> float:
        """Return the price of the bits."""
        books = [code for code in codes.values() if isinstance(code, CodebookCode)]
        return self.price * sum(entropy_bits(code.indices.array, code.indices.alphabet) for code in books)

    def _centres(
        self, arrays: Mapping[str, np.ndarray], weights: Params, metrics: Metrics, warm_codes: np.ndarray | None
    ) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """Return codebooks of which one is the best that can be found, with code lengths for each tensor if priced."""
        values = np.concatenate([np.zeros(0, np.float32), *arrays.values()])
        if (
            any(isinstance(metrics.get(name), Quartic) for name in weights)
            and self.start == "optimal"
            and not self.price
        ):
            squares, fourths = (np.concatenate(part) for part in zip(*_quartic(weights, metrics), strict=True))
            starts = [cluster(values, squares, self.entries, warm_codes), *([] if warm_codes is None else [warm_codes])]
            return [(quartic_clusters(values, squares, fourths, start), []) for start in starts]
        heavy = importances(weights, metrics)
        if self.start != "optimal":
            return [(lloyd_from(self.start, values, heavy, self.entries, self.seed), [])]
        best = cluster(values, heavy, self.entries, warm_codes)
        if not self.price or not len(values):
            return [(best, [])]
        members = list(members_of(arrays, weights, metrics).values())
        return [
            priced_clusters(members, self.price, start)
            for start in (best, *([] if warm_codes is None else [warm_codes]))
        ]

    def encode(
        self,
        centres: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        weights: Params,
        metrics: Metrics,
        lengths: Sequence[np.ndarray] = (),
    ) -> Mapping[str, CodebookCode]:
        """Return the codes whose codebook is ``centres``, rounded, without entries that no weight takes.

        With a price, ``lengths`` are where code lengths start, by tensor; without, at those of the nearest entries.
        """
        dtypes = {name: dtype_name(tensor) for name, tensor in weights.items()}
        common = widest(dtypes.values()) if dtypes else "float32"
        entries, first = np.unique(rounded(centres, common).astype(np.float64), return_index=True)
        chosen = {name: _choose(name, array, entries, dtypes[name]) for name, array in arrays.items()}
        if self.price:
            for t, (name, member) in enumerate(members_of(arrays, weights, metrics).items() if len(entries) else ()):
                held = rounded(entries, dtypes[name]).astype(np.float64)
                chosen[name] = settled(member, held, self.price, lengths[t][first] if lengths else None)
        used = np.zeros(len(entries), bool)
        for indices in chosen.values():
            used[indices] = True
        codebook, rank = Values(rounded(entries[used], common)), np.cumsum(used) - 1
        return {
            name: CodebookCode(
                tuple(tensor.shape),
                dtypes[name],
                codebook,
                Symbols(chosen[name] if used.all() else rank[chosen[name]], len(codebook)),
            )
            for name, tensor in weights.items()
        }

    def _grouped(
        self, name: str, array: np.ndarray, tensor: torch.Tensor, metrics: Metrics, warm: Codes | None
    ) -> Code:
        """Return the code of one tensor whose groups have codebooks of their own."""
        shape, dtype, heavy = tuple(tensor.shape), dtype_name(tensor), importances({name: tensor}, metrics)
        length = group_length(shape, self.rows, self.group)
        centres = cluster_groups(array, heavy, self.entries, length or len(array)) if len(array) else np.zeros((1, 1))
        table = rounded(centres, dtype)
        indices = nearest_in_groups(array, table.astype(np.float64), length or max(len(array), 1))
        k = int(indices.max(initial=0)) + 1  # nearest takes the first of equal entries
        codebook = Values(np.ascontiguousarray(table[:, :k]).reshape(-1))
        code = GroupedCode(shape, dtype, length, True, codebook, Values(table.reshape(-1)[:0]), Symbols(indices, k))
        one = {name: tensor}
        return better({name: code}, of_kind(GroupedCode, warm, one), one, metrics, self._allows)[name]

    def _allows(self, codes: Mapping[str, GroupedCode]) -> bool:
        """Say whether ``codes``, whose groups have codebooks of their own, lie in the feasible set."""
        return all(
            code.own
            and not len(code.scales)
            and code.indices.alphabet <= self.entries
            and code.length == group_length(code.shape, self.rows, self.group)
            for code in codes.values()
        )

    def _objective(self, codes: Mapping[str, CodebookCode], weights: Params, metrics: Metrics) -> float:
        """Return what is minimised."""
        return distortion(codes, weights, metrics) + (self.penalty(codes) if self.price else 0.0)

    def _last(self, weights: Params, warm: Codes | None) -> np.ndarray | None:
        """Return the codebook of ``warm``, of any shapes, where it is one for all tensors and not too large."""
        codes = [(warm or {}).get(name) for name in weights]
        books = [code.codebook.array.astype(np.float64) for code in codes if isinstance(code, CodebookCode)]
        if not books or len(books) < len(codes) or any(not np.array_equal(books[0], book) for book in books):
            return None
        book = np.unique(books[0])
        return book if 0 < len(book) <= self.entries and np.isfinite(book).all() else None


def _choose(name: str, array: np.ndarray, entries: np.ndarray, dtype: str) -> np.ndarray:
    """Return the nearest entry for each weight, of the entries as a tensor of ``dtype`` will hold them."""
    with np.errstate(over="ignore"):
        held = entries.astype(dtype).astype(np.float64)
    if len(array) and not np.isfinite(held).any():
        raise WeightsError(f"{name}: no entry of the shared codebook fits into {dtype}; give it one of its own")
    return nearest(array, held)


def _quartic(weights: Params, metrics: Metrics) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the importances of squares and of fourth powers, shape (n,), of each tensor."""
    candidates = []
    for name, tensor in weights.items():
        metric, one = metrics.get(name), torch.ones_like(tensor)
        if isinstance(metric, Quartic):
            if metric.quartic.shape != tensor.shape:
                raise WeightsError(
                    f"{name}: a metric of shape {tuple(metric.quartic.shape)}, weights {tuple(tensor.shape)}"
                )
            pair = metric.quadratic, metric.quartic
        else:
            h = diagonal_of(metrics, name, tensor)
            pair = one if h is None else h, 0 * one
        candidates.append((to_numpy(pair[0].double()).reshape(-1), to_numpy(pair[1].double()).reshape(-1)))
    return candidates
