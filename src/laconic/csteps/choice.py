"""Whichever of several compressions is worth its cost: structure learning over a list."""

from dataclasses import dataclass, field, replace
from typing import final

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.costs import Bits, Cost
from laconic.csteps.warm import distortion, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code
from laconic.models.params import Params
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class Choice(Compression):
    """Tensors that are given together get the compression whose error and cost are least together.

        min over j, Θ   Σ_t ‖w_t − Δ_t(Θ_t)‖²_metric + price · Σ_t C(Θ_t)   with Θ feasible for compression j

    It puts a rate, or any other cost, on every compression there is: `Choice` among K = 2, 4, 8 learns how many values
    a layer needs, among ranks its rank, among a codebook, a pruning and `Lossless` which of them, or none.
    Method: each is projected on, and of the nearest points that come of it the best is kept. Approximate: a point of
    one set that is not the nearest, and cheaper, is not looked for. Ties go to the first.

    Source: Idelbayev & Carreira-Perpiñán, "Low-rank compression of neural nets: learning the rank of each layer"
    (CVPR 2020), for ranks; their cost of a layer, and any list of forms.

    Args:
        of: the compressions, two or more, none of which has a price of its own.
        price: α, what a unit of the cost is worth in the objective; not negative.
        cost: C, of `laconic.csteps.costs`.

    Raises:
        PlanError: for fewer than two compressions, one with a price, or a price that is negative or no number.

    >>> import torch
    >>> from laconic import AdaptiveCodebook
    >>> weights = {"w": torch.tensor([1.0, 1.1, 2.0, 2.1] * 8)}
    >>> sizes = AdaptiveCodebook(2), AdaptiveCodebook(4)
    >>> [len(Choice(sizes, price).project(weights)["w"].codebook) for price in (1e-4, 1.0)]
    [4, 2]
    """

    of: tuple[Compression, ...]
    price: float
    cost: Cost = field(default_factory=Bits)

    def __post_init__(self) -> None:
        if len(self.of) < 2:
            raise PlanError(f"a choice is among two compressions or more, not {len(self.of)}")
        if not 0 <= self.price < float("inf"):
            raise PlanError(f"price is what a unit of the cost is worth, 0 or more and finite, not {self.price}")
        for part in self.of:
            if part.scaled(2.0) != part:
                raise PlanError(f"a choice has one price for all: leave that of {part} out")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return the codes of the best compression; each starts from ``warm``, which is kept where nothing is better.

        Raises:
            UnsupportedMetric: for a metric that one of them cannot honour.
            WeightsError: for weights that one of them does not take.
        """
        candidates = [part.project(weights, metrics, warm) for part in self.of]
        warm_codes = of_kind(Code, warm, weights)
        if warm_codes and any(
            feasible(part, warm_codes) for part in self.of
        ):  # a cheaper code of a set than its nearest point
            candidates.append(dict(warm_codes))
        return min(candidates, key=lambda codes: distortion(codes, weights, metrics) + self.penalty(codes))

    def scaled(self, factor: float) -> Compression:
        """Scale the price."""
        return replace(self, price=self.price * factor)

    def penalty(self, codes: Codes) -> float:
        """Return the price of what the codes cost."""
        return self.price * sum(self.cost(name, code) for name, code in codes.items())
