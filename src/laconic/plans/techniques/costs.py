"""Costs by the name that plans call them."""

from collections.abc import Callable
from typing import Any

from laconic.csteps.costs import Bits, Cost, Energy, Flops, Parameters, ProfiledTime
from laconic.errors import PlanError
from laconic.plans.techniques.technique import Option

COSTS: dict[str, Callable[[int], Cost]] = {
    "parameters": lambda positions: Parameters(),
    "bits": lambda positions: Bits(),
    "file_bits": lambda positions: Bits(exact=True),
    "flops": Flops,
    "energy": Energy,
    "time": lambda positions: ProfiledTime(None, positions),
}
"""Name → the cost for a number of positions. Time is that of the machine of `--target`, where each tensor is used as a
run shows, unless the row says at how many positions; other times, and positions by tensor, need Python."""

COST_OPTIONS = {
    "cost": Option(str, f"what has the price: {', '.join(COSTS)}"),
    "positions": Option(int, "how often a tensor is applied to one input, for operations, energy and time"),
}


def take_cost(options: dict[str, Any], name: str) -> Cost:
    """Take a cost out of the options of a row, ``name`` where they say nothing.

    Raises:
        PlanError: for a name that is none.
    """
    named = options.pop("cost", name)
    if named not in COSTS:
        raise PlanError(f"cost is one of {', '.join(COSTS)}, not {named!r}")
    return COSTS[named](options.pop("positions", 1))


def said_cost(cost: Cost, name: str) -> dict[str, Any] | None:
    """Invert `take_cost`; None for a cost that no row can say."""
    positions = getattr(cost, "positions", 1)
    names = [known for known, make in COSTS.items() if isinstance(positions, int) and make(positions) == cost]
    if not names:
        return None
    options: dict[str, Any] = {} if names[0] == name else {"cost": names[0]}
    return options | ({"positions": positions} if positions != 1 else {})
