"""How a layer is quantized: the settings of `laconic.calibrate.sequential`."""

from dataclasses import dataclass
from typing import Literal, final

from laconic.errors import PlanError
from laconic.format.coding.ungerboeck import STATES

ORDERS = ("scale", "weakest", "strongest")
"""Which columns are coded first."""


Form = Literal["plain", "turned", "packed"]
"""How a layer holds a weight: see `laconic.calibrate.forms`."""

FORMS = ("plain", "turned", "packed")


@final
@dataclass(frozen=True)
class Recursion:
    """How a layer is quantized.

    Args:
        states: of the trellis: 4, 8, 16, 32, 64; or 1 for none.
        order: of the columns: "scale", of what is quantized, the smallest first; or "weakest" or "strongest", by u.
        ridge: ρ, the share of the ridge that Gaussian weights ask for: 1 is MMSE, 0 zero forcing.
        water: whether each column has a step of its own, at the water level; else the layer has one.
        price: of a bit, as a share of the slope.
        window: steps of a lane that stay open.
        passes: over the layer; each learns code lengths for the next.
        feedback: whether errors are made good by later columns; else each weight is rounded for itself.
        damping: what is added to every second moment, in units of their mean.
    """

    states: int = 8
    order: str = "scale"
    ridge: float = 1.0
    water: bool = True
    price: float = 0.2
    window: int = 128
    passes: int = 2
    feedback: bool = True
    damping: float = 1e-8

    def __post_init__(self) -> None:
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")
        if self.order not in ORDERS:
            raise PlanError(f"order {self.order!r}; give one of {', '.join(ORDERS)}")
        if not (self.ridge >= 0 and self.price >= 0 and self.damping > 0):
            raise PlanError(
                f"ridge and price are not negative, damping is positive; {self.ridge}, {self.price} and {self.damping} "
                "were given"
            )
        if self.window < 1 or self.passes < 1:
            raise PlanError(f"window and passes are at least 1; {self.window} and {self.passes} were given")

    @property
    def nu(self) -> int:
        """ν of the trellis."""
        return STATES[self.states]
