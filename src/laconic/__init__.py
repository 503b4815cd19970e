"""laconic: a trained network as the smallest file that still does the job.

Attributes load on first use (PEP 562), so that reading a file does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_HOME = {
    "AdaptiveCodebook": "csteps",
    "Budget": "budget",
    "Canonical": "csteps",
    "Compression": "csteps",
    "Joint": "csteps",
    "KeepLargest": "csteps",
    "LearnedRank": "csteps",
    "Lossless": "csteps",
    "LowRank": "csteps",
    "NuclearNorm": "csteps",
    "Tucker": "csteps",
    "UniformGrid": "csteps",
    "Diagonal": "metric",
    "Unit": "metric",
    "LaconicError": "errors",
    "Optimization": "training",
    "Plan": "plan",
    "Result": "api",
    "Task": "task",
    "Training": "api",
    "compress": "api",
    "load": "api",
    "load_plan": "plan",
    "open": "container",
    "params_of": "params",
}
"""Public name → the module that it lives in."""

_MODULES = (
    "bounds",
    "budget",
    "codes",
    "container",
    "costs",
    "csteps",
    "data",
    "errors",
    "lc",
    "nets",
    "schedule",
    "task",
    "training",
)

__all__ = [*_HOME, *_MODULES, "__version__"]

if TYPE_CHECKING:
    from laconic import bounds as bounds
    from laconic import budget as budget
    from laconic import codes as codes
    from laconic import container as container
    from laconic import costs as costs
    from laconic import csteps as csteps
    from laconic import data as data
    from laconic import errors as errors
    from laconic import lc as lc
    from laconic import nets as nets
    from laconic import schedule as schedule
    from laconic import task as task
    from laconic import training as training
    from laconic.api import Result as Result
    from laconic.api import Training as Training
    from laconic.api import compress as compress
    from laconic.api import load as load
    from laconic.budget import Budget as Budget
    from laconic.container import open as open
    from laconic.csteps import AdaptiveCodebook as AdaptiveCodebook
    from laconic.csteps import Canonical as Canonical
    from laconic.csteps import Compression as Compression
    from laconic.csteps import Joint as Joint
    from laconic.csteps import KeepLargest as KeepLargest
    from laconic.csteps import LearnedRank as LearnedRank
    from laconic.csteps import Lossless as Lossless
    from laconic.csteps import LowRank as LowRank
    from laconic.csteps import NuclearNorm as NuclearNorm
    from laconic.csteps import Tucker as Tucker
    from laconic.csteps import UniformGrid as UniformGrid
    from laconic.errors import LaconicError as LaconicError
    from laconic.metric import Diagonal as Diagonal
    from laconic.metric import Unit as Unit
    from laconic.params import params_of as params_of
    from laconic.plan import Plan as Plan
    from laconic.plan import load_plan as load_plan
    from laconic.task import Task as Task
    from laconic.training import Optimization as Optimization


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` and return it."""
    if name in _MODULES:
        return importlib.import_module(f"laconic.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"laconic.{_HOME[name]}"), name)
    raise AttributeError(f"module 'laconic' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
