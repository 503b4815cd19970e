"""What is compared: few weights, few values, few neurons, and the methods of each, all at the same epochs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, final

from laconic.csteps.compression import Compression
from laconic.csteps.fixed_codebook import BINARY, FixedCodebook
from laconic.csteps.groups import Groups
from laconic.csteps.joint import Joint
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.lc.learning import Training

Family = Literal["weights", "values", "neurons"]

ROUNDS = 10
"""Rounds of pruning neurons and filters, each of several of the epochs."""

METHODS: Mapping[Family, Mapping[str, str]] = MappingProxyType(
    {
        "weights": MappingProxyType(
            {"LC": "lc", "magnitude": "retrain", "gradual": "gradual", "surgery": "surgery", "movement": "movement"}
        ),
        "values": MappingProxyType({"LC": "lc", "STE": "ste"}),
        "neurons": MappingProxyType(
            {"LC": "lc", "rounds, l1": "rounds", "rounds, l2": "rounds", "rounds, activity": "rounds"}
        ),
    }
)
"""By family its methods, LC first, by the names that `Training` calls them."""


@final
@dataclass(frozen=True)
class Setting:
    """One compression of a network.

    Args:
        family: which methods there are for it.
        label: its name.
        compression: of the weights; of "neurons" that of layers whose filters can be removed.
    """

    family: Family
    label: str
    compression: Compression

    def by(self, method: str) -> Compression:
        """Return the compression as a method has it: rounds rank by a score of their own."""
        _, _, score = method.partition(", ")
        kept = self.compression
        return replace(kept, score=score) if score and isinstance(kept, KeepGroups) else kept


def _neurons(share: float, label: str) -> Setting:
    return Setting("neurons", label, KeepGroups(Groups("filters"), keep=share))


SETTINGS = (
    *(Setting("weights", f"{100 * share:g} % of the weights", Joint(KeepLargest(share))) for share in (0.05, 0.02)),
    Setting("values", "2 bits", FixedCodebook((-3.0, -1.0, 1.0, 3.0))),
    Setting("values", "1 bit", FixedCodebook(BINARY)),
    _neurons(0.5, "half of the neurons"),
    _neurons(0.25, "a quarter of the neurons"),
)
"""Networks of the table."""


def training(setting: Setting, method: str, lc: Training) -> Training:
    """Return how a method is trained: with all the epochs of LC, its learning rates, and fine-tuning at the end.

    Magnitude pruning has them all in fine-tuning, as "mask and retrain" is; rounds are fewer and longer.

    Args:
        setting: what is compressed.
        method: of `METHODS`.
        lc: steps of one epoch.
    """
    name = METHODS[setting.family][method]
    if name == "retrain":
        return replace(lc, method=name, finetune=replace(lc.finetune, epochs=lc.steps + lc.finetune.epochs))
    if name == "rounds":
        each = max(1, lc.steps // ROUNDS)
        l_step = replace(lc.l_step, epochs=each)
        return replace(lc, method=name, steps=lc.steps // each, l_step=l_step, decay=lc.decay**each)
    return replace(lc, method=name)
