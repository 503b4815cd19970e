"""One table of cases: every compression, alone, nested and joint, on the tensors that break things.

A new compression adds rows to its family and is held to every law of `test_laws.py`.
"""

from .additive import ADDITIVE
from .case import Case, generator, heavy, importance, normal, quartic
from .low_rank import LOW_RANK
from .neighbours import neighbours
from .pruning import PRUNING
from .quantization import QUANTIZATION
from .twins import twin_of

CASES: tuple[Case, ...] = (*ADDITIVE, *QUANTIZATION, *PRUNING, *LOW_RANK)

__all__ = ["CASES", "Case", "generator", "heavy", "importance", "neighbours", "normal", "quartic", "twin_of"]
