"""Compression from the weights alone, with a progress bar: importances, a plan, a budget."""

from collections.abc import Mapping

from laconic.cli import options
from laconic.cli.console import Output, in_bytes
from laconic.cli.jobs.tasks import batches_per_epoch, counted
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.baselines import direct
from laconic.lc.budgeted import buffers_told, within
from laconic.lc.damage import left
from laconic.machines.sharing import Sharing
from laconic.models.params import Params, buffers_of
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import PASSES, QUALITIES, Budget
from laconic.result import Result, recalibrated
from laconic.theory.metric import Metrics
from laconic.training.task import Task


def metrics_of(say: Output, plan: Plan, task: Task | None, params: Params) -> Metrics | None:
    """Return the metrics of the plan's importance, with a progress bar over the samples meanwhile."""
    if plan.importance is None:
        return None
    with say.progress(f"importance: {plan.importance.name}", 1.0) as tick:
        return plan.metrics(task, params, lambda done, total: tick(done / max(1, total)))


def directly(say: Output, plan: Plan, network: Untied, metrics: Metrics | None) -> dict[str, Code]:
    """Return the codes of direct compression, with a progress bar over the elements meanwhile."""
    codes, params = dict[str, Code](), network.params
    with say.progress("direct compression", max(1, sum(tensor.numel() for tensor in params.values()))) as tick:
        with plan.advising():
            for group in direct(params, plan, metrics):
                codes.update(group)
                tick(sum(code.size for code in codes.values()))
    return network.named(compact({name: codes[name] for name in params}))


def by_samples(say: Output, result: Result, network: Untied, task: Task, samples: int, batch: int, seed: int) -> Result:
    """Return the result with statistics that follow the inputs, with a progress bar over the batches meanwhile."""
    needed = -(-2 * samples // batch)
    with say.progress("recalibrating", max(1, min(batches_per_epoch(task), needed))) as tick:
        return recalibrated(result, network, counted(task, tick), samples, seed)


def within_budget(
    say: Output, network: Untied, budget: Budget, plan: Plan, metrics: Metrics | None, quality: options.Quality,
    notes: Mapping[str, str], task: Task | None, threads: int | None, sharing: Sharing | None = None,
) -> Result:  # fmt: skip
    """Return the result within a budget, with a progress bar over the passes meanwhile."""
    buffers, reference = buffers_of(task.module) if task else (), int(notes[REFERENCE_BYTES])
    notes = {**notes, **buffers_told(network, buffers)}
    with say.progress("choosing the step", PASSES) as tick:
        fitted = within(
            network, budget, plan, QUALITIES[quality.value], notes,
            lambda number, size: tick(number, f"pass {number}: {in_bytes(size)}"),
            buffers=buffers, metrics=metrics, reference_bytes=reference, threads=threads, sharing=sharing,
        )  # fmt: skip
    kept = left(network, fitted.codes, task and task.module, fitted.signals)
    return Result(fitted.codes, notes, fitted=fitted, signals=kept)
