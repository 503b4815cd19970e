"""C steps: projections of weights on sets of compressed weights, one family a file."""

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import Joint, project, together
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.l0_penalty import L0Penalty
from laconic.csteps.l1_ball import L1Ball
from laconic.csteps.l1_penalty import L1Penalty
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.uniform_grid import UniformGrid

COMPRESSIONS: tuple[type[Compression], ...] = (
    Lossless,
    AdaptiveCodebook,
    KeepLargest,
    L0Penalty,
    L1Penalty,
    L1Ball,
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
    "Joint",
    "KeepLargest",
    "L0Penalty",
    "L1Ball",
    "L1Penalty",
    "Lossless",
    "LowRank",
    "UniformGrid",
    "project",
    "together",
]
