"""The learning-compression algorithm: `min L(w) s.t. w = Δ(Θ)`, by alternating training and compression."""

from laconic.lc.baselines import direct, iterated_direct
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.finetune import FINE_TUNING, FreeParameters, finetune, free_parameters
from laconic.lc.l_step import LearningStep
from laconic.lc.state import LCState
from laconic.lc.steps import LStep, c_step, run, start

__all__ = [
    "FINE_TUNING",
    "FreeParameters",
    "LCState",
    "LStep",
    "LearningStep",
    "c_step",
    "direct",
    "finetune",
    "free_parameters",
    "iterated_direct",
    "load_state",
    "run",
    "save_state",
    "start",
]
