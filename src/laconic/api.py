"""The one front door: network, plan, task and effort go in; a `Result` that is a file comes out."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, final

from torch import Tensor, nn

from laconic.csteps.compression import Compression
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.format.container import LacFile
from laconic.insight.ledger import REFERENCE_BYTES, Ledger, ledger
from laconic.lc.baselines import direct
from laconic.lc.budgeted import buffers_told, within
from laconic.lc.damage import left
from laconic.lc.finetune import FineTuning
from laconic.lc.learning import Training
from laconic.lc.recalibrate import Recalibrated, recalibrate, with_statistics
from laconic.lc.schedule import Progress
from laconic.lc.state import LCState
from laconic.lc.steps import start
from laconic.models.checkpoints import checkpoint_size
from laconic.models.params import Params, all_of, all_params_of, apply_to, buffers_of, decompress
from laconic.models.ties import Untied, untied
from laconic.plans.plan import Plan, weights_only
from laconic.quantize.budget import QUALITIES, Budget, Fitted
from laconic.quantize.budget.signal import Signal, weak
from laconic.theory.metric import Metrics
from laconic.training.loop import trainable
from laconic.training.task import Task

Effort = Literal["direct", "train"]
Watch = Callable[[LCState], None]


@final
@dataclass(frozen=True, eq=False)
class Result:
    """A compressed network: the very weights that its file stands for.

    Args:
        codes: one per parameter and buffer; names of one tensor have one object.
        metadata: network, data and preprocessing, and the size of the uncompressed file.
        history: the progress of every LC step; empty for direct compression.
        fitted: how a budget was met, where one was named.
        fixed: names of the tensors that training did not move: theirs is direct compression.
        signals: what is left of each tensor of floats, and of the weights that a module makes of several
            (`weight_norm`), by name. Of a trained one only whether it is all 0 or not finite. Running statistics that
            recalibration has moved count as they were before it.
        recalibration: what it has come to, where it was asked for.
    """

    codes: Mapping[str, Code]
    metadata: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Progress] = ()
    fitted: Fitted | None = None
    fixed: tuple[str, ...] = ()
    signals: Mapping[str, Signal] = field(default_factory=dict)
    recalibration: Recalibrated | None = None

    @property
    def weak(self) -> tuple[tuple[str, float], ...]:
        """Names and dB of tensors with less than 3 dB of their own, the worst first: −∞ is not finite, 0 all zero."""
        return weak(self.signals)

    @property
    def params(self) -> dict[str, Tensor]:
        """The decompressed weights by name: what `laconic.load` gives for the saved file."""
        return decompress(self.codes)

    @property
    def file_bytes(self) -> int:
        """Size of the file in bytes, everything counted."""
        return container.bits(self.codes, self.metadata) // 8

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the `.lac` file, all or nothing.

        Raises:
            OutputExists: when ``path`` exists and ``force`` is not set.
        """
        container.write(Path(path), self.codes, self.metadata, force=force)
        return Path(path)

    def apply_to(self, module: nn.Module) -> nn.Module:
        """Copy the decompressed weights into ``module`` and return it.

        Raises:
            WeightsError: when names or shapes differ.
        """
        apply_to(module, self.params)
        return module

    def table(self) -> list[dict[str, Any]]:
        """Return one plain record per tensor, and one for the header: see `laconic.insight.ledger.Entry`."""
        return list(self.ledger().records()["tensors"])

    def ledger(self) -> Ledger:
        """Return the account of the file: exact bytes, entropies and ratios."""
        return ledger(LacFile(container.dumps(self.codes, self.metadata), "the result", limit=sys.maxsize))


def compress(
    network: nn.Module | Params,
    plan: Plan | Compression | Budget,
    task: Task | None = None,
    effort: Effort = "direct",
    *,
    budget: Budget | None = None,
    lossless: Sequence[str] = (),
    quality: str = "default",
    training: Training | None = None,
    metrics: Metrics | None = None,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
    resume: LCState | None = None,
    watch: Watch | None = None,
    threads: int | None = None,
    recalibrate: int = 0,
) -> Result:
    """Compress a network; the one given stays as it is.

        min_{w,Θ} L(w)   subject to   w = Δ(Θ)

    Args:
        network: a module, or its parameters and buffers by name. A tensor with several names, tied by a module (that
            of the task, where there is one), by its memory or by equal bytes, is stored once under all of them;
            training takes as one variable what the task's module ties.
        plan: what each tensor gets; a `Compression` alone is applied to every tensor with two or more axes. A
            `Budget` puts all of these on one grid, at the step that meets it; see it for what a weight is.
        task: loss and training data; ``effort="train"`` needs it.
        effort: "direct" projects the weights once (seconds); "train" runs the LC algorithm.
        budget: beside a `Plan`: its rows take their bytes first, and all other weights share what remains. What is no
            weight gets ``rest``, and is lossless without one.
        lossless: with a budget: patterns of tensors that stay as they are, such as ``["*.mask", "head.*"]``.
        quality: with a budget, how hard to try: "fast", "default" or "max" (`laconic.quantize.budget.QUALITIES`).
        training: for ``effort="train"``: how long and how.
        metrics: importances by name, in place of what ``plan.importance`` would have estimated.
        metadata: text to store in the file beside the task's.
        seed: of batches and dropout: the same seed gives the same file.
        resume: a state that ``watch`` was given in an earlier run with the same arguments.
        watch: is given every LC state, and one after each epoch of fine-tuning; progress bars and checkpoints live
            there.
        threads: with a budget, tensors that are worked on at a time: the cores there are unless given. The file is the
            same for any number.
        recalibrate: for ``effort="direct"``: training samples by which running statistics of batch normalization
            follow what compression has done to their inputs (`laconic.lc.recalibrate`); as many further ones say
            whether the outputs come closer to the original's. ``result.recalibration`` tells; 0 for none.

    Raises:
        PlanError: when the plan does not fit, or ``effort="train"``, the plan's importance or ``recalibrate`` has no
            task, or when there are no running statistics to recalibrate.
        DataError: when the task has fewer than two times ``recalibrate`` training samples.
        UnsupportedMetric: when a compression cannot honour the metric of its tensor.
        WeightsError: for weights that cannot be compressed, and when training diverges.

    >>> import torch, laconic
    >>> result = laconic.compress(torch.nn.Linear(8, 4), laconic.AdaptiveCodebook(2))
    >>> len(result.params["weight"].unique())
    2
    """
    if effort not in ("direct", "train"):
        raise PlanError(f"effort is 'direct' or 'train', not {effort!r}")
    if effort == "train" and task is None:
        raise PlanError("effort 'train' needs a task: the loss and the data to train on")
    if recalibrate and (effort == "train" or task is None):
        raise PlanError("recalibrate needs a task, and effort 'direct': training moves running statistics by itself")
    plan, budget = _parted(plan, budget, lossless)
    if quality not in QUALITIES or (quality != "default" and not budget):
        raise PlanError(f"quality is one of {', '.join(QUALITIES)}, and goes with a budget; not {quality!r}")
    if budget and effort != "direct":
        raise PlanError("a budget is met from the weights alone: effort 'direct'")
    given = all_params_of(network) if isinstance(network, nn.Module) else dict(network)
    whole = untied(given, task.module if task else None)
    reference = checkpoint_size(whole.params)
    notes = {REFERENCE_BYTES: str(reference), **(task.metadata if task else {}), **(metadata or {})}
    plan = plan if isinstance(plan, Plan) else weights_only(plan, whole.params)
    metrics = plan.metrics(task, whole.params) if metrics is None and resume is None else metrics
    metrics = metrics and {whole.names.get(name, name): metric for name, metric in metrics.items()}
    if budget:
        module = network if isinstance(network, nn.Module) else task and task.module
        buffers = buffers_of(module) if module else ()
        notes |= buffers_told(whole, buffers)
        fitted = within(
            whole, budget, plan, QUALITIES[quality], notes, buffers=buffers,
            metrics=metrics, reference_bytes=reference, threads=threads,
        )  # fmt: skip
        kept = left(whole, fitted.codes, module, fitted.signals)
        result = Result(fitted.codes, notes, fitted=fitted, signals=kept)
        return _recalibrated(result, whole, task, recalibrate, seed)
    plan, whole = plan.settled(whole, metrics, alike=effort == "direct")
    with plan.advising():
        if effort == "direct" or task is None:
            codes = {name: code for group in direct(whole.params, plan, metrics) for name, code in group.items()}
            codes = compact({name: codes[name] for name in whole.params})
            module = network if isinstance(network, nn.Module) else task and task.module
            result = Result(whole.named(codes), notes, signals=left(whole, codes, module))
            return _recalibrated(result, whole, task, recalibrate, seed)
        moving = trainable(task.module, whole.params)
        first, how = resume or start(whole.params, plan, metrics, moving), training or Training()
    history = list[Progress]()
    for state in how.path(first, task, seed):
        if state.tuning is None or not history:
            history.append(state.progress)
        if watch is not None:
            watch(state)
    assert state.tuning is not None, "the path ends with fine-tuning"
    codes = compact(FineTuning.of(task, state.all_codes).tuned(state.tuning))
    kept = left(whole, codes, task.module, moved=True)
    return Result(whole.named(codes), notes, tuple(history), fixed=tuple(state.fixed), signals=kept)


def _recalibrated(result: Result, network: Untied, task: Task | None, samples: int, seed: int) -> Result:
    """Return the result with statistics that follow the inputs, where that helps and the file has room for them.

    Args:
        result: of direct compression.
        network: as it was.
        task: there is one, where there are samples.
        samples: 0 for the result as it is.
        seed: of the order of the training batches.
    """
    if not samples or task is None:
        return result
    told, statistics = recalibrate(task, network.named(dict(network.params)), result.params, samples, seed)
    codes, fitted = with_statistics(result.codes, statistics, task.module), result.fitted
    size = container.bits(codes, result.metadata) // 8
    if fitted:
        asked = fitted.budget.bytes(fitted.weights, int(result.metadata[REFERENCE_BYTES]))
        if asked is not None and size > max(asked, fitted.file_bytes):  # a file has more, where nobody asked
            return replace(result, recalibration=replace(told, kept=False))
        fitted = replace(fitted, codes=codes, file_bytes=size)
    return replace(result, codes=codes, fitted=fitted, recalibration=told)


def _parted(
    plan: Plan | Compression | Budget, budget: Budget | None, lossless: Sequence[str]
) -> tuple[Plan | Compression, Budget | None]:
    """Return what some tensors get, and the budget of all, if there is one.

    Raises:
        PlanError: for what does not go together.
    """
    if isinstance(lossless, str):
        raise PlanError(f"lossless is a list of patterns: [{lossless!r}]")
    if isinstance(plan, Budget):
        if budget:
            raise PlanError(f"two budgets, {plan} and {budget}: a budget is named once")
        return Plan({}).keeping(lossless), plan
    if lossless and not budget:
        raise PlanError(f"lossless goes with a budget; in a plan, give {', '.join(lossless)} a row: Lossless()")
    if budget and not isinstance(plan, Plan):
        raise PlanError(
            "a compression alone takes every weight, and leaves a budget none; say in a Plan which it takes"
        )
    return (plan.keeping(lossless) if isinstance(plan, Plan) else plan), budget


def load(source: str | Path, limit: int | None = None) -> dict[str, Tensor]:
    """Return the weights in a `.lac` file as torch tensors by name.

    Args:
        source: the file.
        limit: bytes that all tensors together may take decoded, see `laconic.open`.

    Raises:
        FormatError: when the file is not a sound `.lac` file, or holds more than the limit allows.
    """
    with container.open(source, limit) as file:
        return all_of(file)
