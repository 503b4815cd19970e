"""C steps: projections of weights on sets of compressed weights, one family a file."""

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.canonical import Canonical
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import Joint, project, together
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.learned_rank import LearnedRank
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.nuclear_norm import NuclearNorm
from laconic.csteps.tucker import Tucker
from laconic.csteps.uniform_grid import UniformGrid

COMPRESSIONS: tuple[type[Compression], ...] = (
    Lossless,
    AdaptiveCodebook,
    KeepLargest,
    LowRank,
    LearnedRank,
    NuclearNorm,
    Tucker,
    Canonical,
    UniformGrid,
    Joint,
)
"""Every public compression; the suite of laws covers each."""

__all__ = [
    "COMPRESSIONS",
    "AdaptiveCodebook",
    "Canonical",
    "Codes",
    "Compression",
    "Joint",
    "KeepLargest",
    "LearnedRank",
    "Lossless",
    "LowRank",
    "NuclearNorm",
    "Tucker",
    "UniformGrid",
    "project",
    "together",
]
