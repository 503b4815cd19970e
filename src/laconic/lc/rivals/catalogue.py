"""The methods beside the LC algorithm, by the names that options call them."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.gradual import gradual
from laconic.lc.rivals.movement import movement
from laconic.lc.rivals.rounds import rounds
from laconic.lc.rivals.straight_through import straight
from laconic.lc.rivals.surgery import surgery
from laconic.lc.state import LCState

Rival = Callable[[LCState, LearningStep, int], Iterator[LCState]]
"""(state, training of a step, steps) → the state, and those after each step."""

RIVALS: Mapping[str, Rival] = MappingProxyType(
    {"rounds": rounds, "gradual": gradual, "surgery": surgery, "movement": movement, "ste": straight}
)
"""Name → method."""
