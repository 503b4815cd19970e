"""Rows of a plan that would mend what compression has done to some weights: a grid of one bit a weight more.

At high rates a bit more leaves a quarter of the squared error. What a file with such a weight takes is counted, not
guessed: the row's own projection is put into it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.csteps.uniform_grid import UniformGrid
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.codes.counting import ideal_bits
from laconic.models.params import Params
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.plans.techniques import TECHNIQUES, row_of
from laconic.plans.toml import in_toml, to_toml

FINER = 1.0
"""Bits a weight that a mended one has more."""

_MOST = 12.0  # bits a weight: finer grids than this mend nothing


@final
@dataclass(frozen=True, eq=False)
class Mended:
    """A weight on a finer grid.

    Args:
        name: of the weight, as the file has it.
        grid: the row's compression.
        code: its projection of the original weight.
    """

    name: str
    grid: UniformGrid
    code: Code

    @property
    def row(self) -> str:
        """The line of TOML."""
        return f"{in_toml(fnmatch_escape(self.name))} = {in_toml(row_of(self.grid, TECHNIQUES.values()))}"


def mended(name: str, code: Code, original: Params) -> Mended:
    """Return a weight on a grid that has a bit more than its code.

    Args:
        name: of the weight.
        code: that the file has of it.
        original: the network, with this weight.

    Raises:
        WeightsError: for weights that no grid holds.
    """
    bits = round(min(ideal_bits(code) / max(code.size, 1) + FINER, _MOST), 2)
    grid = UniformGrid(bits=bits, states=8, scales=True)
    return Mended(name, grid, grid.project({name: original[name]})[name])


def size_with(codes: Mapping[str, Code], metadata: Mapping[str, str], ones: Sequence[Mended]) -> int:
    """Return the bytes of a file in which these weights are mended, under all their names."""
    instead = {id(codes[one.name]): one.code for one in ones}
    return container.bits({name: instead.get(id(code), code) for name, code in codes.items()}, metadata) // 8


def plan_of(ones: Sequence[Mended]) -> str:
    """Return the TOML document with a row for each; what it does not name shares a budget's rest."""
    return to_toml(Plan({fnmatch_escape(one.name): one.grid for one in ones}))
