"""Every public compression."""

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.additive import Additive
from laconic.csteps.canonical import Canonical
from laconic.csteps.choice import Choice
from laconic.csteps.compression import Compression
from laconic.csteps.fixed_assignments import FixedAssignments
from laconic.csteps.fixed_codebook import FixedCodebook
from laconic.csteps.group_penalty import GroupPenalty
from laconic.csteps.joint import Joint
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.keep_n_of_m import KeepNOfM
from laconic.csteps.l0_penalty import L0Penalty
from laconic.csteps.l1_ball import L1Ball
from laconic.csteps.l1_penalty import L1Penalty
from laconic.csteps.learned_rank import LearnedRank
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.nuclear_norm import NuclearNorm
from laconic.csteps.priced_pruning import PricedPruning
from laconic.csteps.random_vectors import RandomVectors
from laconic.csteps.tucker import Tucker
from laconic.csteps.uniform_grid import UniformGrid
from laconic.csteps.within_bytes import WithinBytes

COMPRESSIONS: tuple[type[Compression], ...] = (
    Lossless,
    AdaptiveCodebook,
    FixedCodebook,
    FixedAssignments,
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
    WithinBytes,
    RandomVectors,
    Joint,
    Additive,
    Choice,
    LearnedRank,
    NuclearNorm,
    Tucker,
    Canonical,
)
"""Every public compression; the suite of laws covers each."""
