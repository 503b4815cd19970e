"""laconic: a trained network as the smallest file that still does the job.

Attributes load on first use (PEP 562), so that reading a file does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_HOME = {
    "AdaptiveCodebook": "csteps",
    "Additive": "csteps",
    "Budget": "quantize.budget",
    "Canonical": "csteps",
    "Choice": "csteps",
    "Compression": "csteps",
    "FixedAssignments": "csteps",
    "FixedCodebook": "csteps",
    "GroupPenalty": "csteps",
    "Groups": "csteps",
    "Joint": "csteps",
    "KeepGroups": "csteps",
    "KeepLargest": "csteps",
    "KeepNOfM": "csteps",
    "L0Penalty": "csteps",
    "L1Ball": "csteps",
    "L1Penalty": "csteps",
    "Lossless": "csteps",
    "LowRank": "csteps",
    "PricedPruning": "csteps",
    "LearnedRank": "csteps",
    "NuclearNorm": "csteps",
    "Tucker": "csteps",
    "UniformGrid": "csteps",
    "Diagonal": "theory.metric",
    "Unit": "theory.metric",
    "LaconicError": "errors",
    "Optimization": "training.loop",
    "Plan": "plans.plan",
    "Result": "api",
    "Task": "training.task",
    "Training": "api",
    "compress": "api",
    "load": "api",
    "load_plan": "plans.plan",
    "open": "format.container",
    "params_of": "models.params",
}
"""Public name → the module that it lives in."""

_ROOMS = {
    "costs": "csteps.costs",
    "data": "models.data",
    "nets": "models.nets",
    "task": "training.task",
}
"""Public room → where it is."""

__all__ = [*_HOME, *_ROOMS, "__version__"]

if TYPE_CHECKING:
    from laconic.api import Result as Result
    from laconic.api import Training as Training
    from laconic.api import compress as compress
    from laconic.api import load as load
    from laconic.csteps import AdaptiveCodebook as AdaptiveCodebook
    from laconic.csteps import Additive as Additive
    from laconic.csteps import Canonical as Canonical
    from laconic.csteps import Choice as Choice
    from laconic.csteps import Compression as Compression
    from laconic.csteps import FixedAssignments as FixedAssignments
    from laconic.csteps import FixedCodebook as FixedCodebook
    from laconic.csteps import GroupPenalty as GroupPenalty
    from laconic.csteps import Groups as Groups
    from laconic.csteps import Joint as Joint
    from laconic.csteps import KeepGroups as KeepGroups
    from laconic.csteps import KeepLargest as KeepLargest
    from laconic.csteps import KeepNOfM as KeepNOfM
    from laconic.csteps import L0Penalty as L0Penalty
    from laconic.csteps import L1Ball as L1Ball
    from laconic.csteps import L1Penalty as L1Penalty
    from laconic.csteps import LearnedRank as LearnedRank
    from laconic.csteps import Lossless as Lossless
    from laconic.csteps import LowRank as LowRank
    from laconic.csteps import NuclearNorm as NuclearNorm
    from laconic.csteps import PricedPruning as PricedPruning
    from laconic.csteps import Tucker as Tucker
    from laconic.csteps import UniformGrid as UniformGrid
    from laconic.csteps import costs as costs
    from laconic.errors import LaconicError as LaconicError
    from laconic.format.container import open as open
    from laconic.models import data as data
    from laconic.models import nets as nets
    from laconic.models.params import params_of as params_of
    from laconic.plans.plan import Plan as Plan
    from laconic.plans.plan import load_plan as load_plan
    from laconic.quantize.budget import Budget as Budget
    from laconic.theory.metric import Diagonal as Diagonal
    from laconic.theory.metric import Unit as Unit
    from laconic.training import task as task
    from laconic.training.loop import Optimization as Optimization
    from laconic.training.task import Task as Task


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` and return it."""
    if name in _ROOMS:
        return importlib.import_module(f"laconic.{_ROOMS[name]}")
    if name in _HOME:
        return getattr(importlib.import_module(f"laconic.{_HOME[name]}"), name)
    raise AttributeError(f"module 'laconic' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
