"""How a weight is used for one input: what its cost depends on beside its code; without torch."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Use:
    """How a weight is used for one input.

    Args:
        positions: how often its matrix, all but the axis of outputs flattened, is applied: height × width of what a
            convolution writes (of what a transposed one reads), the length of a sequence for a dense layer over it, 1
            for a dense layer, 0 for what is looked up or not multiplied. Where parts of it are applied at different
            numbers of places it is their mean, rounded up.
        calls: operations in which it is; a recurrent weight has one for each step.
        groups: of a convolution.
    """

    positions: int
    calls: int = 1
    groups: int = 1
