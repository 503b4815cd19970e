"""Low rank whose rank is learned: error and cost in one objective."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.costs import Cost, Parameters
from laconic.csteps.factors import kronecker_of, require_matrix, to_matrix, truncated, whitened
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.warm import distortion, feasible
from laconic.csteps.weighted_low_rank import nested, weighted
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import VIEWS, Code, DenseCode, LowRankCode, Values
from laconic.format.coding import dtype_of
from laconic.models.params import Params, dtype_name, to_numpy
from laconic.theory.metric import Diagonal, Kronecker, Metric, Metrics, Unit, diagonal_of


@final
@dataclass(frozen=True)
class LearnedRank(Compression):
    """Each tensor, read as a matrix, has whatever rank is worth its cost, or stays dense.

        min over r, L, R   ‖W − L R‖²_metric + price · C(L R)   or   price · C(W)

    Method: one singular value decomposition gives the least error of every rank; all ranks from 0 to min(m, n), and the
    tensor as it is, are tried, O(mn·min(m, n)). Exact but for the rounding of the factors to the tensor's dtype. With a
    diagonal metric it is approximate: ranks are compared by the factors that are best for the separable weights next to
    it, and those of the rank that is chosen are then fitted (`laconic.csteps.weighted_low_rank`). At a
    tie the lowest rank wins, and any rank over the dense tensor. A cost that looks at values (the bits of a file) is
    asked for the factors of each rank. With ``left``, ``right`` and ``full`` that quantize, ranks are compared as if
    they were stored as they are, and what is chosen is then compressed.

    Source: Idelbayev & Carreira-Perpiñán, "Low-rank compression of neural nets: learning the rank of each layer" (CVPR
    2020). Departures: the dense tensor is a choice, without which a flat spectrum gets all ranks at twice the cost; any
    cost; ‖W‖² does not divide the error. Their λ is for a million parameters or FLOPs.

    Args:
        price: α, what a unit of the cost is worth in the objective; not negative.
        cost: C, of the codes that could result; `laconic.csteps.costs`.
        view: how a tensor is a matrix, one of `laconic.format.codes.VIEWS`.
        left: compression of L,
        right: of R, and
        full: of a tensor that has more than any rank is worth.

    Raises:
        PlanError: for a price that is negative or not finite, or an unknown view.

    >>> import torch
    >>> weights = {"w": torch.diag(torch.tensor([9.0, 8.0, 0.1, 0.1, 0.1]))}
    >>> LearnedRank(price=0.1).project(weights)["w"].rank
    2
    """

    price: float
    cost: Cost = field(default_factory=Parameters)
    view: str = VIEWS[0]
    left: Compression = field(default_factory=Lossless)
    right: Compression = field(default_factory=Lossless)
    full: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not 0 <= self.price < np.inf:
            raise PlanError(f"price is what a unit of the cost is worth, 0 or more and finite, not {self.price}")
        if self.view not in VIEWS:
            raise PlanError(f"view must be one of {', '.join(VIEWS)}, not {self.view!r}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return a `LowRankCode` or a code of ``full`` a tensor, which is a `DenseCode` where that is lossless.

        Raises:
            UnsupportedMetric: for a metric that is not unit, diagonal or Kronecker, or that ``full`` cannot honour.
            WeightsError: for NaN and infinite weights, tensors that ``view`` does not take, metrics of another shape.
        """
        codes: dict[str, Code] = {}
        for name, tensor in weights.items():
            require_matrix(name, tensor, self.view)
            metric = (metrics or {}).get(name, Unit())
            warm_code = (warm or {}).get(name)
            codes[name] = self._coded(name, tensor, metric, self._chosen(name, tensor, metric), warm_code)
            if warm_code is not None and self._allows(warm_code, tensor):
                codes[name] = min(codes[name], warm_code, key=lambda code: self._objective(name, code, tensor, metric))
        return codes

    def penalty(self, codes: Codes) -> float:
        """Return the price of what the codes cost, and what the compressions within say."""
        full = {name: code for name, code in codes.items() if not isinstance(code, LowRankCode)}
        within = self._of_rank(0).penalty(codes) + self.full.penalty(full)
        return self.price * sum(self.cost(name, code) for name, code in codes.items()) + within

    def scaled(self, factor: float) -> Compression:
        """Scale the price, and the compressions within."""
        inner = {key: getattr(self, key).scaled(factor) for key in ("left", "right", "full")}
        return replace(self, price=self.price * factor, **inner)

    @property
    def annealed(self) -> bool:
        """True: of a direction that is gone the loss has no gradient in the factors, and the weights are pulled off it.

        At the small μ with which the LC algorithm begins, 2α/μ would be worth more than any direction.
        """
        return True

    def _of_rank(self, rank: int) -> LowRank:
        """Return what a rank that is given asks for."""
        return LowRank(rank, self.view, self.left, self.right)

    def _coded(self, name: str, tensor: Tensor, metric: Metric, chosen: Code, warm_code: Code | None) -> Code:
        """Return what has been chosen, compressed in turn."""
        inner = self._of_rank(chosen.rank) if isinstance(chosen, LowRankCode) else self.full
        plain = inner == LowRank(inner.rank, self.view) if isinstance(inner, LowRank) else inner == Lossless()
        if plain:
            return chosen
        return inner.project({name: tensor}, {name: metric}, {name: warm_code} if warm_code else None)[name]

    def _chosen(self, name: str, tensor: Tensor, metric: Metric) -> Code:
        """Return the best code."""
        matrix = to_matrix(tensor.detach(), self.view)
        if isinstance(metric, Kronecker):
            left, right, s = whitened(matrix, kronecker_of(name, metric, matrix, self.view), min(matrix.shape))
        elif isinstance(metric, Unit):
            left, right = truncated(matrix, min(matrix.shape))
            s = left.square().sum(0)
        elif isinstance(metric, Diagonal):
            return self._weighted(name, tensor, matrix, metric)
        else:
            kind = type(metric).__name__
            raise UnsupportedMetric(f"{name}: a learned rank takes a unit, diagonal or Kronecker metric, not {kind}")
        tails = np.append(np.cumsum(s.cpu().numpy()[::-1] ** 2)[::-1], 0.0)
        best = self._best(name, tensor, (left, right), tails)
        return DenseCode.of(to_numpy(tensor)) if best is None else self._code(tensor, left, right, best)

    def _weighted(self, name: str, tensor: Tensor, matrix: Tensor, metric: Diagonal) -> Code:
        """Return the best code that is known under importances."""
        given = diagonal_of({name: metric}, name, tensor)
        assert given is not None, "it is diagonal"
        h = to_matrix(given.to(tensor.device), self.view).double()
        left, right, errors = nested(matrix, h)
        best = self._best(name, tensor, (left, right), np.array(errors))
        dense = DenseCode.of(to_numpy(tensor))
        if best is None:
            return dense
        fitted = weighted(matrix, h, best, 0.0, (left[:, :best], right[:best]))
        candidates = [self._code(tensor, *factors, best) for factors in (fitted, (left, right))]
        return min([*candidates, dense], key=lambda code: self._objective(name, code, tensor, metric))

    def _best(self, name: str, tensor: Tensor, factors: tuple[Tensor, Tensor], tails: np.ndarray) -> int | None:
        """Return the rank that is best, ``tails`` being the errors of all; None where the dense tensor is better."""
        dense = DenseCode.of(to_numpy(tensor))
        objectives = [
            tail + self.price * self.cost(name, code)
            for tail, code in zip(tails, self._candidates(tensor, *factors), strict=True)
        ]
        best = int(np.argmin(objectives))
        return None if self.price * self.cost(name, dense) < objectives[best] else best

    def _candidates(self, tensor: Tensor, left: Tensor, right: Tensor) -> Iterator[Code]:
        """Give a code of each rank, from 0 on: one that costs what the factors do, or they themselves."""
        dtype = dtype_name(tensor)
        zero = np.zeros(1, dtype_of(dtype))
        for rank in range(left.shape[1] + 1):
            if not self.cost.structural:
                yield self._code(tensor, left, right, rank)
                continue
            shapes = (len(left), rank), (rank, right.shape[1])
            factors = [DenseCode(shape, dtype, Values(np.broadcast_to(zero, shape[0] * shape[1]))) for shape in shapes]
            yield LowRankCode(tuple(tensor.shape), dtype, self.view, *factors)

    def _code(self, tensor: Tensor, left: Tensor, right: Tensor, rank: int) -> LowRankCode:
        """Return the first ``rank`` terms of the product."""
        factors = (DenseCode.of(to_numpy(f.to(tensor.dtype))) for f in (left[:, :rank], right[:rank]))
        return LowRankCode(tuple(tensor.shape), dtype_name(tensor), self.view, *factors)

    def _objective(self, name: str, code: Code, tensor: Tensor, metric: Metric) -> float:
        """Return what is minimised."""
        return distortion({name: code}, {name: tensor}, {name: metric}) + self.price * self.cost(name, code)

    def _allows(self, code: Code, tensor: Tensor) -> bool:
        """Say whether ``code`` is one that could result for a tensor of this shape and dtype."""
        if (code.shape, code.dtype) != (tuple(tensor.shape), dtype_name(tensor)):
            return False
        if isinstance(code, LowRankCode):
            parts = (self.left, code.left), (self.right, code.right)
            return code.view == self.view and all(_is_of(how, part) for how, part in parts)
        return _is_of(self.full, code)


def _is_of(compression: Compression, code: Code) -> bool:
    """Say whether ``code`` is one that ``compression`` makes."""
    return isinstance(code, DenseCode) if isinstance(compression, Lossless) else feasible(compression, {"": code})
