"""The plan, and the training, that options stand for."""

from collections.abc import Container
from dataclasses import replace

from laconic.cli.options import Rows
from laconic.cli.options import Training as Typed
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.joint import Joint
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.errors import PlanError
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models.params import Params
from laconic.plans.plan import Plan, load_plan, weights_only
from laconic.training.optimization import Optimization


def plan_of(params: Params, rows: Rows, buffers: Container[str] = ()) -> Plan:
    """Return the plan that the options stand for; ``buffers`` of a module are no weights.

    Raises:
        PlanError: for options that do not go together, and where none is given.
    """
    if rows.plan is not None:
        if rows != Rows(plan=rows.plan):
            raise PlanError("--plan says it all: leave out --codebook, --keep, --rank and --per-tensor")
        return load_plan(rows.plan)
    codebook, keep, rank = rows.codebook, rows.keep, rows.rank
    if rows.per_tensor and keep is None:
        raise PlanError("--per-tensor goes with --keep; a codebook and a rank are each tensor's own already")
    if keep is not None and rank is not None:
        raise PlanError("--keep and --rank do not combine on one tensor; say which tensor gets which in a --plan")
    values: Compression = AdaptiveCodebook(codebook) if codebook is not None else Lossless()
    if keep is not None:
        pruned = KeepLargest(keep, values=values)
        return weights_only(pruned if rows.per_tensor else Joint(pruned), params, buffers)
    if rank is not None:
        return weights_only(LowRank(rank, left=values, right=values), params, buffers)
    if codebook is None:
        raise PlanError("say what becomes of the weights: --codebook K, --keep SHARE, --rank R, or --plan FILE")
    return weights_only(values, params, buffers)


def learning_of(of: Typed) -> Training:
    """Return the training that the options stand for."""
    return Training(
        of.method.value, of.steps, Optimization(of.epochs, of.lr, weight_decay=of.weight_decay), of.lr_decay, mu=of.mu,
        growth=of.growth, tolerance=of.tolerance, augmented=not of.quadratic_penalty,
        finetune=replace(FINE_TUNING, epochs=of.finetune), alike=of.alike,
    )  # fmt: skip
