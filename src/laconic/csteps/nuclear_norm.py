"""Low rank by a price on the nuclear norm: singular values shrink, and the small ones vanish."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.factors import require_matrix, to_matrix, truncated
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import VIEWS, Code, DenseCode, LowRankCode
from laconic.models.params import Params, dtype_name, to_numpy, to_torch
from laconic.theory.metric import Metrics, Unit


@final
@dataclass(frozen=True)
class NuclearNorm(Compression):
    """Each tensor, read as a matrix, is near the given one and has a small nuclear norm (sum of singular values).

        min over Θ   ‖W − Θ‖_F² + price · ‖Θ‖_*

    Method: `Θ = U (S − price/2)₊ Vᵀ` from the singular value decomposition `W = U S Vᵀ`, stored as a product of the
    rank that is left, O(mn·min(m, n)). Exact where the factors are stored as they are, and the problem is convex: where
    the loss is, so is the whole of `min L(W) + α ‖W‖_*`.

    Source: Cai, Candès & Shen, "A singular value thresholding algorithm for matrix completion" (SIAM J. Optimization
    20, 2010), theorem 2.1, whose objective is half of this one.

    Args:
        price: what a unit of the nuclear norm is worth in the objective; not negative.
        view: how a tensor is a matrix, one of `laconic.format.codes.VIEWS`.
        left: compression of the first factor, and
        right: of the second: after singular values have shrunk, and, once the LC algorithm has chosen (`relaxed`), of
            those that are best for the rank.

    Raises:
        PlanError: for a price that is negative or not finite, or an unknown view.

    >>> import torch
    >>> NuclearNorm(price=2.0).project({"w": torch.diag(torch.tensor([5.0, 0.5]))})["w"].decompress()
    array([[4., 0.],
           [0., 0.]], dtype=float32)
    """

    price: float
    view: str = VIEWS[0]
    left: Compression = field(default_factory=Lossless)
    right: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not 0 <= self.price < np.inf:
            raise PlanError(f"price is what a unit of the norm is worth, 0 or more and finite, not {self.price}")
        if self.view not in VIEWS:
            raise PlanError(f"view must be one of {', '.join(VIEWS)}, not {self.view!r}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `LowRankCode` a tensor.

        Raises:
            UnsupportedMetric: for a metric other than the unit one.
            WeightsError: for NaN and infinite weights, and tensors that ``view`` does not take.
        """
        codes: dict[str, Code] = {}
        for name, tensor in weights.items():
            require_matrix(name, tensor, self.view)
            metric = (metrics or {}).get(name, Unit())
            if not isinstance(metric, Unit):
                raise UnsupportedMetric(f"{name}: the nuclear norm takes the unit metric, not {type(metric).__name__}")
            matrix = to_matrix(tensor.detach(), self.view)
            left, right = truncated(matrix, min(matrix.shape))
            s = left.square().sum(0)
            kept = s > self.price / 2
            shrunk = (1 - self.price / 2 / s[kept]).sqrt()
            factors = (
                DenseCode.of(to_numpy(f.to(tensor.dtype)))
                for f in (left[:, kept] * shrunk, right[kept] * shrunk[:, None])
            )
            codes[name] = plain = LowRankCode(tuple(tensor.shape), dtype_name(tensor), self.view, *factors)
            warm_code = (warm or {}).get(name)
            if not isinstance(self.left, Lossless) or not isinstance(self.right, Lossless):
                product = to_torch(plain.decompress()).to(tensor)
                last = {name: warm_code} if warm_code else None
                codes |= self._of_rank(plain.rank).project({name: product}, None, last)
            if isinstance(warm_code, LowRankCode) and (warm_code.shape, warm_code.dtype, warm_code.view) == (
                codes[name].shape,
                codes[name].dtype,
                self.view,
            ):
                codes[name] = min(codes[name], warm_code, key=lambda code: self._objective(code, name, weights))
        return codes

    def penalty(self, codes: Codes) -> float:
        """Return the price of the norms, and what the compressions of the factors say."""
        norms = sum(nuclear_norm(code) for code in codes.values())
        return self.price * norms + self._of_rank(0).penalty(codes)

    def scaled(self, factor: float) -> Compression:
        """Scale the price, and the compressions of the factors."""
        left, right = self.left.scaled(factor), self.right.scaled(factor)
        return replace(self, price=self.price * factor, left=left, right=right)

    def relaxed(self, codes: Codes) -> Mapping[tuple[str, ...], Compression]:
        """Return for each tensor what keeps its rank."""
        products = {name: code for name, code in codes.items() if isinstance(code, LowRankCode)}
        return {(name,): self._of_rank(code.rank) for name, code in products.items()}

    def _of_rank(self, rank: int) -> LowRank:
        """Return what a rank that is given asks for."""
        return LowRank(rank, self.view, self.left, self.right)

    def _objective(self, code: Code, name: str, weights: Params) -> float:
        """Return what is minimised."""
        return distortion({name: code}, {name: weights[name]}) + self.price * nuclear_norm(code)


def nuclear_norm(code: Code) -> float:
    """Return the sum of the singular values of the matrix that a low-rank code stands for, before it is rounded."""
    assert isinstance(code, LowRankCode), "only products are asked for"
    (left, right) = (factor.decompress().astype(np.float64) for factor in (code.left, code.right))
    inner = np.linalg.qr(left)[1] @ np.linalg.qr(right.T)[1].T
    return float(np.linalg.svd(inner, compute_uv=False).sum()) if inner.size else 0.0
