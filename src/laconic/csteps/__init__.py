"""C steps: projections of weights on sets of compressed weights, one family a file."""

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.fixed_assignments import FixedAssignments, Hashed
from laconic.csteps.fixed_codebook import BINARY, TERNARY, FixedCodebook, powers_of_two
from laconic.csteps.joint import Joint, project, together
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.uniform_grid import UniformGrid

COMPRESSIONS: tuple[type[Compression], ...] = (
    Lossless,
    AdaptiveCodebook,
    FixedCodebook,
    FixedAssignments,
    KeepLargest,
    LowRank,
    UniformGrid,
    Joint,
)
"""Every public compression; the suite of laws covers each."""

__all__ = [
    "BINARY",
    "COMPRESSIONS",
    "TERNARY",
    "AdaptiveCodebook",
    "Codes",
    "Compression",
    "FixedAssignments",
    "FixedCodebook",
    "Hashed",
    "Joint",
    "KeepLargest",
    "Lossless",
    "LowRank",
    "UniformGrid",
    "powers_of_two",
    "project",
    "together",
]
