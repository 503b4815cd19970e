"""C steps: projections of weights on sets of compressed weights, one family a file."""

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.group_penalty import GroupPenalty
from laconic.csteps.groups import Groups
from laconic.csteps.joint import Joint, project, together
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.keep_n_of_m import KeepNOfM
from laconic.csteps.l0_penalty import L0Penalty
from laconic.csteps.l1_ball import L1Ball
from laconic.csteps.l1_penalty import L1Penalty
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.priced_pruning import PricedPruning
from laconic.csteps.uniform_grid import UniformGrid

COMPRESSIONS: tuple[type[Compression], ...] = (
    Lossless,
    AdaptiveCodebook,
    KeepLargest,
    L0Penalty,
    L1Penalty,
    L1Ball,
    PricedPruning,
    KeepGroups,
    GroupPenalty,
    KeepNOfM,
    LowRank,
    UniformGrid,
    Joint,
)
"""Every public compression; the suite of laws covers each."""

__all__ = [
    "COMPRESSIONS",
    "AdaptiveCodebook",
    "Codes",
    "Compression",
    "GroupPenalty",
    "Groups",
    "Joint",
    "KeepGroups",
    "KeepLargest",
    "KeepNOfM",
    "L0Penalty",
    "L1Ball",
    "L1Penalty",
    "Lossless",
    "LowRank",
    "PricedPruning",
    "UniformGrid",
    "project",
    "together",
]
