"""What a budget counts and does not choose: a plan's rows, tensors that stay lossless, and what is no weight."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import final

from laconic.format.codes import Code
from laconic.quantize.budget.survey import Role


@final
@dataclass(frozen=True, eq=False)
class Apart:
    """Tensors that a budget is not to quantize.

    Args:
        codes: of the tensors on the rows of a plan: they take their bytes first.
        lossless: names of tensors that stay as they are, whatever is in them.
        buffers: names of a module's buffers, which are no weights: lossless where they have no code.
    """

    codes: Mapping[str, Code] = field(default_factory=dict)
    lossless: Collection[str] = ()
    buffers: Collection[str] = ()

    def role(self, name: str) -> Role:
        """Return what a tensor is to the budget."""
        if name in self.buffers:
            return "buffer"
        return "settled" if name in self.codes or name in self.lossless else "free"


NOTHING = Apart()
"""All is the budget's to choose."""
