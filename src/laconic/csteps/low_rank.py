"""Low rank: a matrix as the product of two thin ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.factors import (
    felt,
    kronecker_of,
    require_matrix,
    square_roots,
    to_matrix,
    truncated,
    whitened,
)
from laconic.csteps.joint import project
from laconic.csteps.lossless import Lossless
from laconic.csteps.warm import better, distortion, feasible, of_kind
from laconic.csteps.weighted_low_rank import Factors, fitted, weighted
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import VIEWS, Code, LowRankCode
from laconic.models.params import Params, dtype_name, to_torch
from laconic.theory.metric import Diagonal, Kronecker, Metrics, Unit, diagonal_of

_SWEEPS, _GAIN = 4, 0.005
"""Times that factors are compressed under a Kronecker metric, and the share of the error that each must take off."""


@final
@dataclass(frozen=True)
class LowRank(Compression):
    """Each tensor, read as a matrix, has rank r or less.

        min over L, R   ‖W − L R‖_F²,   L of shape (m, r), R of shape (r, n)

    Method: the truncated singular value decomposition `W = U S Vᵀ`, `L = U √S`, `R = √S Vᵀ` (Eckart & Young 1936),
    in float64, O(mn·min(m, n)). Exact to the rounding of the factors to the tensor's dtype. Where L is compressed in
    turn, R is the least-squares fit to what became of L, and is then compressed itself: a composition, not the joint
    optimum, and projecting twice may move the weights again.
    The largest entry of each row of R is positive: signs do not depend on the library.

    For a rank that is small against min(m, n) a large matrix goes through `laconic.csteps.krylov` in O(mnr), whose
    bound on the excess error decides: above ``tolerance`` times the optimum the decomposition is done in full.

    Under a Kronecker metric the same holds for the whitened matrix (`laconic.csteps.factors.whitened`), exactly, and
    factors that are compressed are so by what errors in them cost there, number by number; under a diagonal one the
    factors are fitted in turn (`laconic.csteps.weighted_low_rank`), which is approximate.

    Source: Idelbayev & Carreira-Perpiñán, "Low-rank compression of neural nets" (CVPR 2020), the first two views;
    Jaderberg, Vedaldi & Zisserman, "Speeding up convolutional neural networks with low rank expansions" (BMVC 2014),
    scheme 2, for the last two: a column of convolutions and then a row, or a row and then a column.
    Departure: tensors shorter than float64 go through the eigenvectors of the smaller Gram matrix in float64. It
    halves the digits to eight, as many as float32 has, and the time too.

    Args:
        rank: r, not negative; more than min(m, n) is min(m, n), and 0 makes the tensor zero.
        view: how a tensor is a matrix, one of `laconic.format.codes.VIEWS`.
        left: compression of L.
        right: compression of R.
        tolerance: share of the least error that a fast solution may lose; 0 for none.

    Raises:
        PlanError: for a negative rank or tolerance, or an unknown view.

    >>> LowRank(1).project({"w": torch.tensor([[1.0, 2.0], [2.0, 4.0]])})["w"].decompress()
    array([[1., 2.],
           [2., 4.]], dtype=float32)
    """

    rank: int
    view: str = VIEWS[0]
    left: Compression = field(default_factory=Lossless)
    right: Compression = field(default_factory=Lossless)
    tolerance: float = 0.003

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise PlanError(f"rank must be 0 or more, not {self.rank}")
        if self.view not in VIEWS:
            raise PlanError(f"view must be one of {', '.join(VIEWS)}, not {self.view!r}")
        if not 0 <= self.tolerance < 1:
            raise PlanError(f"tolerance is a share of the least error, 0 or more and below 1, not {self.tolerance}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `LowRankCode` a tensor.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal nor Kronecker, and for a Kronecker metric
                with any view but the first.
            WeightsError: for NaN and infinite weights, tensors that ``view`` does not take, metrics of another shape.
        """
        metrics, factors = metrics or {}, dict[str, tuple[Tensor, Tensor]]()
        warm_codes = of_kind(LowRankCode, warm, weights)
        for name, tensor in weights.items():
            require_matrix(name, tensor, self.view)
            factors[name] = self._factors(name, tensor, metrics, warm_codes)
        new = self._coded(weights, factors, metrics, warm_codes)
        if not isinstance(self.left, Lossless) or not isinstance(self.right, Lossless):
            new = self._felt(weights, factors, metrics, new)
        return better(new, warm_codes, weights, metrics, self._allows)

    def _coded(
        self, weights: Params, factors: Mapping[str, Factors], metrics: Metrics,
        warm_codes: Mapping[str, LowRankCode] | None, feeling: Mapping[str, Kronecker] | None = None,
    ) -> dict[str, LowRankCode]:  # fmt: skip
        """Return codes of factors: L is compressed, R is fitted to that and compressed.

        Args:
            weights: tensors by name.
            factors: L and R of each.
            metrics: of the tensors.
            warm_codes: the last codes.
            feeling: Kronecker metrics of tensors whose factors are compressed by what errors in them cost.
        """
        feeling = feeling or {}
        lefts, rights = ({name: pair[at].to(weights[name].dtype) for name, pair in factors.items()} for at in (0, 1))
        costs: Metrics = {name: felt(metric, *factors[name])[0] for name, metric in feeling.items()}
        before: Codes | None = warm_codes and {name: code.left for name, code in warm_codes.items()}
        left = project(self.left, lefts, costs, before)
        if not isinstance(self.left, Lossless):
            rights = {name: self._refitted(left[name], name, tensor, metrics) for name, tensor in weights.items()}
        costs = {name: felt(m, _double(left[name], rights[name]), rights[name])[1] for name, m in feeling.items()}
        before = warm_codes and {name: code.right for name, code in warm_codes.items()}
        right = project(self.right, rights, costs, before)
        return {
            name: LowRankCode(tuple(tensor.shape), dtype_name(tensor), self.view, left[name], right[name])
            for name, tensor in weights.items()
        }

    def _felt(
        self, weights: Params, factors: Mapping[str, Factors], metrics: Metrics, plain: dict[str, LowRankCode]
    ) -> dict[str, LowRankCode]:
        """Return codes of less error under Kronecker metrics, or the plain ones.

        Each factor is compressed by what errors in it cost beside the other one (`laconic.csteps.factors.felt`); then L
        is fitted to what became of R, and both are compressed anew, as long as that helps, a few times. Heuristic.
        """
        feeling = {
            name: metric for name, metric in metrics.items() if name in weights and isinstance(metric, Kronecker)
        }
        best, least = plain, distortion(plain, weights, metrics) if feeling else 0.0
        for _ in range(_SWEEPS if feeling else 0):
            try:
                found = self._coded(weights, factors, metrics, None, feeling)
            except UnsupportedMetric:
                return best  # of what compresses the factors
            error = distortion(found, weights, metrics)
            if not error < (1 - _GAIN) * least:
                return found if error < least else best
            best, least = found, error
            for name, metric in feeling.items():
                right = _double(found[name].right, weights[name])
                factors = {**factors, name: (_left_of(to_matrix(weights[name], self.view), metric, right), right)}
        return best

    def scaled(self, factor: float) -> Compression:
        """Scale the compressions of the factors."""
        return replace(self, left=self.left.scaled(factor), right=self.right.scaled(factor))

    def penalty(self, codes: Codes) -> float:
        """Return what the compressions of the factors say."""
        held = {name: code for name, code in codes.items() if isinstance(code, LowRankCode)}
        left = self.left.penalty({name: code.left for name, code in held.items()})
        return left + self.right.penalty({name: code.right for name, code in held.items()})

    def _factors(
        self, name: str, tensor: Tensor, metrics: Metrics, warm_code: Mapping[str, LowRankCode] | None
    ) -> tuple[Tensor, Tensor]:
        """Return the best factors that are known, in float64."""
        matrix, metric = to_matrix(tensor.detach(), self.view), metrics.get(name, Unit())
        if isinstance(metric, Unit):
            return _distinct(*truncated(matrix, self.rank, self.tolerance), tensor)
        if isinstance(metric, Kronecker):
            return whitened(matrix, kronecker_of(name, metric, matrix, self.view), self.rank, self.tolerance)[:2]
        code = warm_code[name] if warm_code else None
        warm = None
        if code and code.rank <= self.rank and code.view == self.view:
            warm = _double(code.left, matrix), _double(code.right, matrix)
        return weighted(matrix, self._importances(name, tensor, metrics), self.rank, self.tolerance, warm)

    def _importances(self, name: str, tensor: Tensor, metrics: Metrics) -> Tensor:
        """Return h as a matrix, float64."""
        h = diagonal_of(metrics, name, tensor)
        assert h is not None, "the unit metric has its own solution"
        return to_matrix(h.to(tensor.device).double(), self.view)

    def _refitted(self, code: Code, name: str, tensor: Tensor, metrics: Metrics) -> Tensor:
        """Return the R of least error for the L that ``code`` stands for, of the tensor's dtype."""
        matrix, metric = to_matrix(tensor.detach(), self.view).double(), metrics.get(name, Unit())
        left = _double(code, matrix)
        if isinstance(metric, Diagonal):
            nothing = matrix.new_zeros(left.shape[1], matrix.shape[1])
            right = fitted(matrix, self._importances(name, tensor, metrics), left, nothing)
        elif isinstance(metric, Kronecker):
            root = square_roots(metric.outputs)[0].to(matrix.device)
            right = torch.linalg.pinv(root @ left) @ (root @ matrix)
        else:
            right = torch.linalg.pinv(left) @ matrix
        return right.to(tensor.dtype)

    def _allows(self, codes: Mapping[str, LowRankCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        return (
            all(code.view == self.view and code.rank <= self.rank for code in codes.values())
            and feasible(self.left, {name: code.left for name, code in codes.items()})
            and feasible(self.right, {name: code.right for name, code in codes.items()})
        )


def _left_of(matrix: Tensor, metric: Kronecker, right: Tensor) -> Tensor:
    """Return the L of least error for a given R, float64."""
    root = square_roots(metric.inputs)[0].to(matrix.device)
    left: Tensor = matrix.detach().double() @ root @ torch.linalg.pinv(right @ root)
    return left


def _distinct(left: Tensor, right: Tensor, tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return U √S and √S V without singular values that are rounding errors of the tensor's type.

    They add nothing where factors are stored as they are, and where few values are left to L its columns for them come
    out nearly alike: the R that fits such an L best is large, and no compression of it is near.
    """
    values = left.square().sum(0)
    noise = max(left.shape[0], right.shape[1]) * torch.finfo(tensor.dtype).eps
    kept = values > noise * values.max() if len(values) else values > 0
    return left[:, kept], right[kept]


def _double(code: Code, like: Tensor) -> Tensor:
    """Return what ``code`` stands for in float64, where ``like`` is."""
    return to_torch(code.decompress()).to(like.device).double()
