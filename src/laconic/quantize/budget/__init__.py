"""A budget named up front, met by one step for the whole network."""

from laconic.quantize.budget.budget import QUALITIES, Budget, Fitted, Tools
from laconic.quantize.budget.search import NEAR, PASSES, fit
from laconic.quantize.budget.tied import fit_named

__all__ = ["NEAR", "PASSES", "QUALITIES", "Budget", "Fitted", "Tools", "fit", "fit_named"]
