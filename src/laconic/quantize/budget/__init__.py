"""A budget named up front, met by one step for the whole network."""

from laconic.quantize.budget.apart import Apart
from laconic.quantize.budget.budget import NEAR, QUALITIES, Budget, Fitted, Tools
from laconic.quantize.budget.search import PASSES, fit
from laconic.quantize.budget.signal import WEAK, Signal, signals
from laconic.quantize.budget.survey import survey
from laconic.quantize.budget.tuning import TUNED, Tuning

__all__ = [
    "NEAR",
    "PASSES",
    "QUALITIES",
    "TUNED",
    "WEAK",
    "Apart",
    "Budget",
    "Fitted",
    "Signal",
    "Tools",
    "Tuning",
    "fit",
    "signals",
    "survey",
]
