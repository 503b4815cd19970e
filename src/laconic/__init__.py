"""laconic: a trained network as the smallest file that still does the job.

Attributes load on first use (PEP 562), so that reading a file does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_HOME = {
    "AdaptiveCodebook": "csteps.adaptive_codebook",
    "Additive": "csteps.additive",
    "Budget": "quantize.budget",
    "Canonical": "csteps.canonical",
    "Choice": "csteps.choice",
    "Compression": "csteps.compression",
    "FixedAssignments": "csteps.fixed_assignments",
    "FixedCodebook": "csteps.fixed_codebook",
    "GroupPenalty": "csteps.group_penalty",
    "Groups": "csteps.groups",
    "Joint": "csteps.joint",
    "KeepGroups": "csteps.keep_groups",
    "KeepLargest": "csteps.keep_largest",
    "KeepNOfM": "csteps.keep_n_of_m",
    "L0Penalty": "csteps.l0_penalty",
    "L1Ball": "csteps.l1_ball",
    "L1Penalty": "csteps.l1_penalty",
    "Lossless": "csteps.lossless",
    "LowRank": "csteps.low_rank",
    "PricedPruning": "csteps.priced_pruning",
    "RandomVectors": "csteps.random_vectors",
    "LearnedRank": "csteps.learned_rank",
    "Limit": "choose.limits",
    "Menu": "choose.menu",
    "NuclearNorm": "csteps.nuclear_norm",
    "Tucker": "csteps.tucker",
    "UniformGrid": "csteps.uniform_grid",
    "WithinBytes": "csteps.within_bytes",
    "Diagonal": "theory.metric",
    "Distillation": "teachers.softening",
    "Unit": "theory.metric",
    "LaconicError": "errors",
    "Optimization": "training.optimization",
    "Plan": "plans.plan",
    "Profile": "csteps.profile",
    "Pruning": "scratch.masks",
    "Result": "result",
    "Task": "training.task",
    "Teacher": "teachers.teacher",
    "Training": "lc.learning",
    "attentive": "teachers.attention",
    "binary_activations": "training.binary_activations",
    "codistilled": "teachers.codistillation",
    "compress": "api",
    "compress_gradients": "machines.hook",
    "coupled": "plans.coupling",
    "dequantized": "recoding",
    "distilled": "teachers.distillation",
    "export": "deploy.export",
    "few_bits": "training.few_bits",
    "from_scratch": "scratch.narrow",
    "hinted": "teachers.hints",
    "load": "api",
    "load_plan": "plans.toml",
    "load_profile": "csteps.profile_file",
    "measured": "plans.activity",
    "open": "format.container",
    "params_of": "models.params",
    "rewrite": "deploy.rewriting",
    "recode": "recoding",
    "select": "selection",
    "tickets": "scratch.tickets",
}
"""Public name → the module that it lives in."""

_ROOMS = {
    "costs": "csteps.costs",
    "data": "models.data",
    "nets": "models.nets",
    "task": "training.task",
}
"""Public room → where it is."""

_ONNX = ("onnx", "onnxscript", "onnxruntime")
"""Packages of the extra `onnx`."""

__all__ = [*_HOME, *_ROOMS, "__version__"]

if TYPE_CHECKING:
    from laconic.api import compress as compress
    from laconic.api import load as load
    from laconic.choose.limits import Limit as Limit
    from laconic.choose.menu import Menu as Menu
    from laconic.csteps import costs as costs
    from laconic.csteps.adaptive_codebook import AdaptiveCodebook as AdaptiveCodebook
    from laconic.csteps.additive import Additive as Additive
    from laconic.csteps.canonical import Canonical as Canonical
    from laconic.csteps.choice import Choice as Choice
    from laconic.csteps.compression import Compression as Compression
    from laconic.csteps.fixed_assignments import FixedAssignments as FixedAssignments
    from laconic.csteps.fixed_codebook import FixedCodebook as FixedCodebook
    from laconic.csteps.group_penalty import GroupPenalty as GroupPenalty
    from laconic.csteps.groups import Groups as Groups
    from laconic.csteps.joint import Joint as Joint
    from laconic.csteps.keep_groups import KeepGroups as KeepGroups
    from laconic.csteps.keep_largest import KeepLargest as KeepLargest
    from laconic.csteps.keep_n_of_m import KeepNOfM as KeepNOfM
    from laconic.csteps.l0_penalty import L0Penalty as L0Penalty
    from laconic.csteps.l1_ball import L1Ball as L1Ball
    from laconic.csteps.l1_penalty import L1Penalty as L1Penalty
    from laconic.csteps.learned_rank import LearnedRank as LearnedRank
    from laconic.csteps.lossless import Lossless as Lossless
    from laconic.csteps.low_rank import LowRank as LowRank
    from laconic.csteps.nuclear_norm import NuclearNorm as NuclearNorm
    from laconic.csteps.priced_pruning import PricedPruning as PricedPruning
    from laconic.csteps.profile import Profile as Profile
    from laconic.csteps.profile_file import load_profile as load_profile
    from laconic.csteps.random_vectors import RandomVectors as RandomVectors
    from laconic.csteps.tucker import Tucker as Tucker
    from laconic.csteps.uniform_grid import UniformGrid as UniformGrid
    from laconic.csteps.within_bytes import WithinBytes as WithinBytes
    from laconic.deploy.export import export as export
    from laconic.deploy.rewriting import rewrite as rewrite
    from laconic.errors import LaconicError as LaconicError
    from laconic.format.container import open as open
    from laconic.lc.learning import Training as Training
    from laconic.machines.hook import compress_gradients as compress_gradients
    from laconic.models import data as data
    from laconic.models import nets as nets
    from laconic.models.params import params_of as params_of
    from laconic.plans.activity import measured as measured
    from laconic.plans.coupling import coupled as coupled
    from laconic.plans.plan import Plan as Plan
    from laconic.plans.toml import load_plan as load_plan
    from laconic.quantize.budget import Budget as Budget
    from laconic.recoding import dequantized as dequantized
    from laconic.recoding import recode as recode
    from laconic.result import Result as Result
    from laconic.scratch.masks import Pruning as Pruning
    from laconic.scratch.narrow import from_scratch as from_scratch
    from laconic.scratch.tickets import tickets as tickets
    from laconic.selection import select as select
    from laconic.teachers.attention import attentive as attentive
    from laconic.teachers.codistillation import codistilled as codistilled
    from laconic.teachers.distillation import distilled as distilled
    from laconic.teachers.hints import hinted as hinted
    from laconic.teachers.softening import Distillation as Distillation
    from laconic.teachers.teacher import Teacher as Teacher
    from laconic.theory.metric import Diagonal as Diagonal
    from laconic.theory.metric import Unit as Unit
    from laconic.training import task as task
    from laconic.training.binary_activations import binary_activations as binary_activations
    from laconic.training.few_bits import few_bits as few_bits
    from laconic.training.optimization import Optimization as Optimization
    from laconic.training.task import Task as Task


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` and return it."""
    try:
        if name in _ROOMS:
            return importlib.import_module(f"laconic.{_ROOMS[name]}")
        if name in _HOME:
            return getattr(importlib.import_module(f"laconic.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "jaxtyping", *_ONNX):
            raise
        from laconic.errors import MissingPackage

        if error.name in _ONNX:
            raise MissingPackage(f"laconic.{name} needs {error.name}: pip install 'laconic[onnx]'") from error
        raise MissingPackage(
            f"laconic.{name} needs {error.name}: pip install 'laconic[torch]'. To read a file needs none: laconic.open"
        ) from error
    raise AttributeError(f"module 'laconic' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
