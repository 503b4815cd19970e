"""The one front door: network, plan, task and effort go in; a `Result` that is a file comes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from torch import Tensor, nn

from laconic.csteps.compression import Compression
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format import container
from laconic.format.codes import Code, DenseCode
from laconic.format.compact import compact
from laconic.format.container import LacFile
from laconic.insight.ledger import REFERENCE_BYTES, Ledger, ledger
from laconic.lc.baselines import direct, iterated_direct
from laconic.lc.finetune import FINE_TUNING, finetune
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Adaptive, Progress, Schedule
from laconic.lc.state import LCState
from laconic.lc.steps import run, start
from laconic.models.params import Arrays, Params, apply_to, checkpoint_bytes, decompress, params_of, to_numpy, to_torch
from laconic.plans.plan import Plan, weights_only
from laconic.quantize.budget import QUALITIES, Budget, Fitted, fit
from laconic.theory.metric import Metrics
from laconic.training.loop import Optimization
from laconic.training.task import Task

Effort = Literal["direct", "train"]
Method = Literal["lc", "idc", "retrain"]
Watch = Callable[[LCState], None]


@final
@dataclass(frozen=True)
class Training:
    """How much training compression may cost, and how it is spent. The defaults suit networks that train at lr 0.1.

    Args:
        method: "lc", or one of the baselines "idc" (iterated direct compression) and "retrain" (direct compression,
            then training of what stays free).
        steps: LC steps at most; LC stops before when the gap is below ``tolerance``.
        l_step: one L step: epochs, learning rate, weight decay, optimizer.
        decay: factor of the learning rate from step to step.
        pull: the first μ closes the share 1 − exp(−pull) of the gap where the loss does not resist (`Adaptive`).
        mu: the first μ itself, instead of ``pull``.
        growth: factor of μ while choices move and the gap closes.
        fast: factor of μ once they have settled.
        tolerance: gap ‖w − Δ(Θ)‖/‖w‖ at which to stop.
        augmented: augmented Lagrangian, or the quadratic-penalty method.
        finetune: training of what stays free at the end; 0 epochs for none.
    """

    method: Method = "lc"
    steps: int = 120
    l_step: Optimization = field(default_factory=lambda: Optimization(epochs=1))
    decay: float = 0.98
    pull: float = 0.5
    mu: float | None = None
    growth: float = 1.03
    fast: float = 1.5
    tolerance: float = 0.01
    augmented: bool = True
    finetune: Optimization = FINE_TUNING

    def schedule(self, task: Task) -> Schedule:
        """Return the schedule of μ; with ``mu`` not given, the training batches are counted once."""
        mu = self.mu
        if mu is None:
            batches = sum(1 for _ in task.batches("train", 0))
            time = self.l_step.epochs * batches * self.l_step.lr / (1 - _MOMENTUM)
            mu = self.pull / max(time, self.l_step.lr)
        return Adaptive(mu, self.steps, self.growth, self.fast, tolerance=self.tolerance)


_MOMENTUM = 0.9
"""Of the default optimizer: a constant gradient moves the weights by lr/(1 − momentum) a batch."""


@final
@dataclass(frozen=True, eq=False)
class Result:
    """A compressed network: the very weights that its file stands for.

    Args:
        codes: one per parameter and buffer.
        metadata: network, data and preprocessing, and the size of the uncompressed file.
        history: the progress of every LC step; empty for direct compression.
        fitted: how a budget was met, where one was named.
    """

    codes: Mapping[str, Code]
    metadata: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Progress] = ()
    fitted: Fitted | None = None

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
        return ledger(LacFile(container.dumps(self.codes, self.metadata), "the result"))


def compress(
    network: nn.Module | Params,
    plan: Plan | Compression | Budget,
    task: Task | None = None,
    effort: Effort = "direct",
    *,
    quality: str = "default",
    training: Training | None = None,
    metrics: Metrics | None = None,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
    resume: LCState | None = None,
    watch: Watch | None = None,
) -> Result:
    """Compress a network; the one given stays as it is.

        min_{w,Θ} L(w)   subject to   w = Δ(Θ)

    Args:
        network: a module, or its parameters and buffers by name.
        plan: what each tensor gets; a `Compression` alone is applied to every tensor with two or more axes. A
            `Budget` puts all of these on one grid, at the step that meets it.
        task: loss and training data; ``effort="train"`` needs it.
        effort: "direct" projects the weights once (seconds); "train" runs the LC algorithm.
        quality: with a budget, how hard to try: "fast", "default" or "max" (`laconic.quantize.budget.QUALITIES`).
        training: for ``effort="train"``: how long and how.
        metrics: importances by name, in place of what ``plan.importance`` would have estimated.
        metadata: text to store in the file beside the task's.
        seed: of batches and dropout: the same seed gives the same file.
        resume: a state that ``watch`` was given in an earlier run with the same arguments.
        watch: is given every LC state; progress bars and checkpoints live there.

    Raises:
        PlanError: when the plan does not fit, or ``effort="train"`` or the plan's importance has no task.
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
    if quality not in QUALITIES or (quality != "default" and not isinstance(plan, Budget)):
        raise PlanError(f"quality is one of {', '.join(QUALITIES)}, and goes with a budget; not {quality!r}")
    params = params_of(network) if isinstance(network, nn.Module) else dict(network)
    if isinstance(plan, Budget):
        if effort != "direct":
            raise PlanError("a budget is met from the weights alone: effort 'direct'")
        return within(params, plan, quality, {**(task.metadata if task else {}), **(metadata or {})})
    plan = plan if isinstance(plan, Plan) else weights_only(plan, params)
    reference = len(checkpoint_bytes(params))
    notes = {REFERENCE_BYTES: str(reference), **(task.metadata if task else {}), **(metadata or {})}
    metrics = weigh(plan, task, params) if metrics is None and resume is None else metrics
    with advising(plan):
        if effort == "direct" or task is None:
            made = {name: code for group in direct(params, plan, metrics) for name, code in group.items()}
            return Result(compact({name: made[name] for name in params}), notes)
        state, how = resume or start(params, plan, metrics), training or Training()
    history = []
    for reached in path(state, task, how, seed):
        state = reached
        history.append(state.progress)
        if watch is not None:
            watch(state)
    return Result(compact(finetune(task, all_codes(state), how.finetune, seed)), notes, tuple(history))


def weigh(
    plan: Plan, task: Task | None, params: Params, watch: Callable[[int, int], None] | None = None
) -> Metrics | None:
    """Return the metrics that the importance of ``plan`` gives, or None where it has none.

    Args:
        plan: names the importance.
        task: what it is measured on.
        params: the weights.
        watch: told of the samples that are done, and of all.

    Raises:
        PlanError: when there is no task.
    """
    if plan.importance is None:
        return None
    if task is None:
        raise PlanError(f"importance {plan.importance.name!r} needs a task: what matters is measured on its data")
    return plan.importance.metrics(task, params, watch)


@contextmanager
def advising(plan: Plan) -> Iterator[None]:
    """Let a compression that refuses the metric of the plan's importance say what to do about it."""
    try:
        yield
    except UnsupportedMetric as error:
        if plan.importance is None:
            raise
        raise UnsupportedMetric(
            f"{error}. That is the metric of importance {plan.importance.name!r}: "
            "give this tensor another compression, or the plan another importance or none"
        ) from error


def within(
    params: Params, budget: Budget, quality: str = "default", metadata: Mapping[str, str] | None = None,
    *, reference_bytes: int | None = None, watch: Callable[[int, int], None] | None = None,
) -> Result:  # fmt: skip
    """Return the network within a budget, from its weights alone; see `laconic.quantize.budget.fit`.

    Args:
        params: the weights; may be a mapping that reads a tensor when it is asked for.
        budget: what is asked.
        quality: "fast", "default" or "max".
        metadata: text to store in the file.
        reference_bytes: of the uncompressed file; that of a safetensors file of ``params`` unless given.
        watch: told the number of each pass over the weights and the bytes of the file so far.
    """
    reference = reference_bytes or len(checkpoint_bytes(params))
    notes = {REFERENCE_BYTES: str(reference), **(metadata or {})}
    fitted = fit(Arrays(params), budget, QUALITIES[quality], notes, watch, reference_bytes=reference)
    return Result(fitted.codes, notes, fitted=fitted)


def path(state: LCState, task: Task, how: Training, seed: int) -> Iterator[LCState]:
    """Return the generator of states that ``how.method`` names, going on from ``state``."""
    l_step = LearningStep(task, how.l_step, how.decay, seed)
    if how.method == "retrain":
        return iter([state])
    if how.method == "idc":
        return iterated_direct(state, l_step, how.steps - state.progress.step)
    if how.method == "lc":
        return run(state, l_step, how.schedule(task), augmented=how.augmented)
    raise PlanError(f"method is 'lc', 'idc' or 'retrain', not {how.method!r}")


def all_codes(state: LCState) -> dict[str, Code]:
    """Return a code for every tensor of the network: free ones are stored lossless."""
    return {
        name: state.codes[name] if name in state.codes else DenseCode.of(to_numpy(tensor))
        for name, tensor in state.weights.items()
    }


def load(source: str | Path, limit: int | None = None) -> dict[str, Tensor]:
    """Return the weights in a `.lac` file as torch tensors by name.

    Args:
        source: the file.
        limit: bytes that one tensor may take decoded, see `laconic.open`.

    Raises:
        FormatError: when the file is not a sound `.lac` file.
    """
    with container.open(source, limit) as file:
        return {name: to_torch(file[name]) for name in file}
