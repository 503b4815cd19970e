"""Every technique that a plan can name, with its parameters, their units, and what it promises."""

from laconic.plans.techniques.additive import ADDITIVE
from laconic.plans.techniques.as_toml import TomlRow, row_of, technique_of
from laconic.plans.techniques.low_rank import LOW_RANK
from laconic.plans.techniques.pruning import PRUNING
from laconic.plans.techniques.quantization import QUANTIZATION
from laconic.plans.techniques.technique import Option, Technique

TECHNIQUES: dict[str, Technique] = {
    technique.key: technique for technique in (*ADDITIVE, *QUANTIZATION, *PRUNING, *LOW_RANK)
}
"""By key, in the order in which they are listed."""

__all__ = ["TECHNIQUES", "Option", "Technique", "TomlRow", "row_of", "technique_of"]
