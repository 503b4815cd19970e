"""The noun of this room: a feasible set of weights, and how to project on it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from laconic.arguments import require_types
from laconic.format.codes import Code
from laconic.models.params import Params
from laconic.theory.metric import Metrics

Codes = Mapping[str, Code]
"""Codes by the name of the tensor."""


class Compression(ABC):
    """A feasible set `{w : w = Δ(Θ)}` and the projection on it: the C step.

        project(w) = argmin_Θ Σ_t ‖w_t − Δ_t(Θ)‖²_metric

    Frozen and without state. Laws, asserted over every case of `tests/cases/`: one code per tensor, of its shape
    and dtype; the same codes for the same input; projecting Δ(Θ) again gives Δ(Θ); never worse than ``warm``; never
    beaten by a random feasible point; NaN and infinite weights are refused.
    """

    def __new__(cls, *arguments: Any, **named: Any) -> Any:  # not Self, which types checked at run time do not know
        """Check the types of what a compression is made of, of every one at this one place.

        Raises:
            PlanError: for an argument that is not what its field says.
        """
        require_types(cls, arguments, named)
        return super().__new__(cls)

    @abstractmethod
    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Solve the C step for ``weights``, all tensors together.

        Args:
            weights: tensors by name; any shapes, floating point.
            metrics: metric by name; the unit metric where there is none.
            warm: the last codes of the same tensors, to start from; the result is never worse than they are.

        Returns:
            One code per tensor. What is shared is one frozen object that the codes reference.

        Raises:
            UnsupportedMetric: when this compression cannot honour a metric.
            WeightsError: when a tensor holds NaN or infinity or has a shape that this compression does not take.
        """

    def scaled(self, factor: float) -> "Compression":
        """Return the compression with every price in its objective times ``factor``: itself where it has none.

        Where the loss is `L(w) + α C(Θ)` the C step of the LC algorithm at μ has the price 2α/μ: it is called with
        ``scaled(2 / mu)``. Compressions that hold others hand the factor on.
        """
        return self

    def among(self, points: Params, metrics: Metrics | None = None) -> "Compression":
        """Return the compression for a C step at the points of all tensors, those of other rows too.

        It is itself, but where channels go together over several tensors (`laconic.csteps.coupled`): which of them stay
        is chosen anew then. Where not all of these tensors are among the points, the choice stands.
        """
        return self

    def beside(self, codes: Codes) -> "Compression":
        """Return the compression for a file whose other tensors have these codes: itself unless ``counts_others``."""
        return self

    @property
    def counts_others(self) -> bool:
        """Whether what the other tensors of the file take matters, which then have their codes before."""
        return False

    def penalty(self, codes: Codes) -> float:
        """Return `price · C(Θ)` of feasible codes: what the objective has beside the distortion, 0 where no price is.

        `Additive` compares sums by it. Compressions that hold others add what these say of the codes within.
        """
        return 0.0

    def relaxed(self, codes: Codes) -> Mapping[tuple[str, ...], "Compression"]:
        """Return what projects on the choices of ``codes`` alone, by the tensors that each takes together.

        A price or a bound on sizes chooses what becomes zero, and shrinks what stays, too. Once the choice is made
        that is undone: the LC algorithm goes on with these compressions, which have no price. Without such shrinkage
        it is this compression itself.

        Source: Meinshausen, "Relaxed Lasso" (Computational Statistics & Data Analysis 52, 2007), of the ℓ1 price.
        """
        return {tuple(codes): self}

    @property
    def annealed(self) -> bool:
        """Whether a price must grow on the path of the LC algorithm, as what it once takes away does not come back."""
        return False

    @property
    def assigns_each_weight_alone(self) -> bool:
        """Whether Δ(Θ)_i depends on w_i alone, the feasible set being a product of sets, one a weight.

        It is so with fixed codebooks, but not where anything is learned or shared. Then such a part and the κ largest
        errors beside it are the joint optimum (`Additive`).
        """
        return False
