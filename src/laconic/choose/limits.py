"""What a network may cost beside, or in place of, the bytes of its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from laconic.csteps.costs import Cost
from laconic.errors import PlanError
from laconic.format.codes import Code


@final
@dataclass(frozen=True)
class Limit:
    """A cost of the whole network, at most so much.

        Σ_t C_t(Θ_t) ≤ most

    Args:
        cost: of `laconic.costs`: parameters, multiply-adds, energy or time. Where its positions are told by name, what
            they do not name costs nothing: biases and norms are no multiply-adds.
        most: in the unit of the cost, above 0.
        name: what people call it.

    Raises:
        PlanError: for what is no cost, and a number that is not above 0 and finite.

    >>> from laconic.csteps.costs import Parameters
    >>> Limit(Parameters(), 1000)
    Limit(cost=Parameters(), most=1000, name='parameters')
    """

    cost: Cost
    most: float
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.cost, Cost):
            raise PlanError(f"a limit is of a cost, such as laconic.costs.Parameters(), not {self.cost!r}")
        if isinstance(self.most, bool) or not isinstance(self.most, int | float) or not 0 < self.most < float("inf"):
            raise PlanError(f"most is a finite number above 0, not {self.most!r}")
        object.__setattr__(self, "name", self.name or type(self.cost).__name__.lower())

    def of(self, name: str, code: Code) -> float:
        """Return what a tensor costs; 0 for one that is not run."""
        positions = getattr(self.cost, "positions", None)
        return self.cost(name, code) if not isinstance(positions, Mapping) or name in positions else 0.0

    def total(self, codes: Mapping[str, Code]) -> float:
        """Return what a network costs; a tensor with several names once."""
        once = {id(code): (name, code) for name, code in reversed(list(codes.items()))}
        return sum(self.of(name, code) for name, code in once.values())
