"""Techniques that leave a tensor as it is, and those that make it a sum."""

from typing import Any

from laconic.csteps.additive import Additive
from laconic.csteps.choice import Choice
from laconic.csteps.lossless import Lossless
from laconic.plans.techniques.costs import COST_OPTIONS, said_cost, take_cost
from laconic.plans.techniques.technique import Option, Technique
from laconic.theory.metric import Diagonal, Quartic, Unit


def _choice(options: dict[str, Any]) -> Choice:
    """Return the choice of a row."""
    return Choice(tuple(options.pop("choice")), options.pop("price", 0.0), take_cost(options, "bits"))


def _said_choice(compression: Choice) -> dict[str, Any] | None:
    """Invert `_choice`."""
    cost = said_cost(compression.cost, "bits")
    return None if cost is None else {"choice": compression.of, "price": compression.price, **cost}


ADDITIVE = (
    Technique(
        key="lossless",
        line="the weights stay as they are, to the bit; the file is entropy-coded all the same",
        compression=Lossless,
        build=lambda options: Lossless(),
        options={"lossless": Option(bool, "true")},
        example={"lossless": True},
    ),
    Technique(
        key="sum",
        line="each tensor is a sum of compressed ones: quantized plus a few exact weights, low rank plus sparse",
        compression=Additive,
        build=lambda options: Additive(tuple(options.pop("sum")), **options),
        options={
            "sum": Option(tuple, "two to eight compressions, added up"),
            "sweeps": Option(int, "rounds over the parts at most"),
            "tolerance": Option(float, "relative gain of a round below which they end"),
        },
        example={"sum": [{"codebook": 2}, {"keep": 0.01}]},
        exact=False,
        metrics=(Unit, Diagonal, Quartic),  # those that all of its parts honour
    ),
    Technique(
        key="choice",
        line="of several compressions the one whose error and cost (bits, FLOPs, energy) are least together",
        compression=Choice,
        build=_choice,
        options={
            "choice": Option(tuple, "two compressions or more"),
            "price": Option(float, "of a unit of the cost, in squared error (in LC, in the loss)"),
            **COST_OPTIONS,
        },
        example={"choice": [{"codebook": 2}, {"codebook": 4}, {"codebook": 16}], "price": 1e-5},
        exact=False,
        metrics=(Unit, Diagonal, Quartic),  # those that all of them honour
        say=_said_choice,
    ),
)
