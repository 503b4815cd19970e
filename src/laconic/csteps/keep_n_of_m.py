"""Semi-structured pruning: of every m consecutive weights in a row at most n stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import compress_survivors, root_losses
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, SparseCode, Symbols, TileSparseCode
from laconic.format.codes.tile_sparse import flattened
from laconic.models.params import Params, dtype_name
from laconic.theory.metric import Metrics

PATTERN = 10
"""Weights of a group, at most, whose pattern is one symbol: an entropy coder's table of 2¹⁰."""


@final
@dataclass(frozen=True)
class KeepNOfM(Compression):
    """Of every m consecutive weights in a row of the matrix of dimension 0 × the rest, at most n differ from zero.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)²   subject to   ‖θ_g‖₀ ≤ n for each group g of m

    Method: in each group the n weights of largest `h w²` stay, or `g w² + h w⁴` under a quartic metric; O(P m) or
    O(P log m). Exact where the survivors are stored as they are; with ``values`` that quantize them, pruning and then
    quantization, each optimal in itself. A last group that is cut off keeps n of what it has. Ties go to the earlier
    weight; a zero is never kept. Rows of kernels run over inputs, then positions. Groups of up to 10 weights are
    stored by patterns: 2 of 4 weights are then 0.65 bit a weight, where a mask takes 1.

    Source: Mishra et al., "Accelerating sparse deep neural networks" (arXiv 2104.08378, 2021), section 3, for 2 of 4;
    Zhou et al., "Learning N:M fine-grained structured sparse neural networks from scratch" (ICLR 2021). Departure:
    importances.

    Args:
        n: weights of a group that stay, 0 to m.
        m: weights of a group, 1 or more.
        values: how the survivors are compressed, as one flat tensor for each weight tensor.

    Raises:
        PlanError: when ``n`` or ``m`` is out of range.

    >>> import torch
    >>> KeepNOfM(1, 2).project({"w": torch.tensor([[1.0, -2.0, 3.0, 0.5]])})["w"].decompress()
    array([[ 0., -2.,  3.,  0.]], dtype=float32)
    """

    n: int
    m: int
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if self.m < 1 or not 0 <= self.n <= self.m:
            raise PlanError(f"n of m: m is 1 or more and n is 0 to m, not {self.n} of {self.m}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `TileSparseCode` a tensor, or one `SparseCode` where groups are long.

        Raises:
            UnsupportedMetric: for a metric that is not unit, diagonal or quartic, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        metrics = metrics or {}
        masks: dict[str, np.ndarray] = {}
        for name, tensor in weights.items():
            matrix = self._matrix(root_losses(name, tensor, metrics), tuple(tensor.shape))
            masks[name] = largest_in_rows(matrix, self.n)
        flat = {n: self._flat(mask, tuple(weights[n].shape)) for n, mask in masks.items()}
        warm_codes = None if isinstance(self.values, Lossless) else self._last(weights, warm)
        inner: Codes | None = warm_codes and {name: code.values for name, code in warm_codes.items()}
        codes = compress_survivors(weights, flat, metrics, self.values, inner)
        new = {n: self._code(tuple(t.shape), dtype_name(t), masks[n], flat[n], codes[n]) for n, t in weights.items()}
        return better(new, warm_codes, weights, metrics, lambda codes: self._allows(codes))

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the survivors says."""
        kept = {name: c.values for name, c in codes.items() if isinstance(c, SparseCode | TileSparseCode)}
        return self.values.penalty(kept)

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the survivors."""
        return replace(self, values=self.values.scaled(factor))

    def _width(self, shape: tuple[int, ...]) -> int:
        """Return the weights of a group in a tensor of ``shape``: m, or all of a shorter row."""
        return min(self.m, max(flattened(shape)[1], 1))

    def _matrix(self, scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the scores with a group in each row; what is beyond the end is −1."""
        (rows, columns), width = flattened(shape), self._width(shape)
        padded = np.full((rows, -(-columns // width) * width), -1, scores.dtype)
        padded[:, :columns] = scores.reshape(rows, columns)
        return padded.reshape(-1, width)

    def _flat(self, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return a mask by groups as that of the weights, shape (size,)."""
        (rows, columns), width = flattened(shape), self._width(shape)
        whole = mask.reshape(rows, -(-columns // width) * width)
        return np.ascontiguousarray(whole[:, :columns]).reshape(-1)

    def _code(self, shape: tuple[int, ...], dtype: str, mask: np.ndarray, flat: np.ndarray, values: Code) -> Code:
        """Return the code of one tensor."""
        width = self._width(shape)
        if width > PATTERN:
            return SparseCode(shape, dtype, Symbols(flat.view(np.uint8), 2), values)
        patterns = np.zeros(len(mask), np.uint16)
        for k in range(width):
            patterns |= mask[:, k].astype(np.uint16) << k
        return TileSparseCode(shape, dtype, 1, width, Symbols(patterns, 1 << width), values)

    def _last(self, weights: Params, warm: Codes | None) -> "dict[str, SparseCode | TileSparseCode] | None":
        """Return the last codes, each of the kind that its tensor has."""
        codes: dict[str, SparseCode | TileSparseCode] = {}
        for name, tensor in weights.items():
            long, only = self._width(tuple(tensor.shape)) > PATTERN, {name: tensor}
            own: Mapping[str, SparseCode | TileSparseCode] | None
            own = of_kind(SparseCode, warm, only) if long else of_kind(TileSparseCode, warm, only)
            if own is None:
                return None
            codes[name] = own[name]
        return codes

    def _allows(self, codes: Mapping[str, SparseCode | TileSparseCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        for code in codes.values():
            kept = code.kept() if isinstance(code, TileSparseCode) else code.mask.array
            if (self._matrix(kept.astype(np.int8), code.shape) > 0).sum(axis=1).max(initial=0) > self.n:
                return False
        return feasible(self.values, {name: code.values for name, code in codes.items()})


def largest_in_rows(scores: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of the ``count`` largest scores in each row, the earliest at a tie; negative ones never.

    >>> largest_in_rows(np.array([[1.0, 3.0, 1.0], [-1.0, 0.0, -1.0]]), 2)
    array([[ True,  True, False],
           [False,  True, False]])
    """
    if scores.shape[1] > PATTERN:
        rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
        return np.asarray((rank < count) & (scores >= 0))
    columns = np.ascontiguousarray(scores.T)
    before = np.zeros(columns.shape, np.int8)
    for i in range(len(columns)):
        for j in range(i):
            first = columns[j] >= columns[i]
            before[i] += first
            before[j] += ~first
    return np.ascontiguousarray(((before < count) & (columns >= 0)).T)
