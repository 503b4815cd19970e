"""How much compression, by validation: of several values of one number the smallest file that is as good as the best.

    min over v   bytes(v)   subject to   error(v) ≤ min error + its standard error

`laconic.choose.selecting.one_standard_error` is the rule. The network is over-sized to begin with, and what is selected
is its structure: number of values, share of weights, rank, width.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.api import compress
from laconic.choose.selecting import Tried, one_standard_error
from laconic.csteps.compression import Compression
from laconic.errors import PlanError
from laconic.format import container
from laconic.lc.learning import Training
from laconic.lc.state import LCState
from laconic.models.params import Params, params_of
from laconic.plans.plan import Plan
from laconic.plans.techniques import TECHNIQUES
from laconic.plans.toml import parse_compression
from laconic.request import Effort
from laconic.result import Result
from laconic.training.folds import errors_of, folds
from laconic.training.optimization import Optimization
from laconic.training.task import Task
from laconic.training.trainer import start_training, train

Make = Callable[[Any], Plan | Compression]
"""A number → what is done with it, such as `laconic.AdaptiveCodebook`."""

Point = tuple[Mapping[str, Any], Mapping[str, Tensor]]
"""Figures, as JSON says them, and tensors."""

Keep = Callable[[str, Callable[[], Point]], Point]
"""(name of a point, its computation) → the point, which is not computed again where it is kept."""

Say = Callable[[float, str], None]
"""(share done, what is going on)."""


@final
@dataclass(frozen=True, eq=False)
class Selected:
    """What was tried, and what was chosen.

    Args:
        candidates: in the order of the values that were given.
        least: place of the least mean error on validation.
        chosen: place of the smallest file within one standard error of it.
        result: the file of the chosen value, of the network as it was given.
    """

    candidates: tuple[Tried, ...]
    least: int
    chosen: int
    result: Result

    @property
    def value(self) -> float:
        """The number that was chosen."""
        return self.candidates[self.chosen].value

    def records(self) -> list[dict[str, Any]]:
        """Return the table as JSON says it: value, bytes, error ± standard error, which is least, which is chosen."""
        marks = [{"least": at == self.least, "chosen": at == self.chosen} for at in range(len(self.candidates))]
        return [one.record() | mark for one, mark in zip(self.candidates, marks, strict=True)]


def computed(name: str, compute: Callable[[], Point]) -> Point:
    """Return the point, computed: nothing is kept."""
    return compute()


def select(
    network: nn.Module | Params,
    technique: str | Make,
    values: Sequence[float],
    task: Task,
    effort: Effort = "direct",
    *,
    folds: int = 0,
    fresh: nn.Module | Params | None = None,
    refit: Optimization | None = None,
    tensors: str | None = None,
    joint: bool = False,
    row: Mapping[str, Any] | None = None,
    training: Training | None = None,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
    keep: Keep = computed,
    say: Say = lambda done, text: None,
) -> Selected:
    """Compress a network with each of several values of one number, and take the value that validation selects.

    The test split is never read.

    Args:
        network: as `laconic.compress` takes it.
        technique: what takes the number: a key of a plan's row, such as "codebook", "keep", "rank" or "filters", or a
            function of the number that gives a compression or a plan.
        values: that are tried.
        task: with validation data, or with training data where there are ``folds``.
        effort: "direct", or "train" for the LC algorithm.
        folds: 0 to judge by the validation split. Else the training data are cut into so many: for each, a network is
            trained without it from ``fresh`` by ``refit``, compressed, and judged by it.
        fresh: with folds: weights before any training. A network that was trained on all samples has seen each fold.
        refit: with folds: how each network is trained, as the given one was.
        tensors: with a technique by name: a pattern of the tensors that get it, the others staying as they are; all
            weights unless told. For widths: the layers whose filters are hidden units.
        joint: with a technique by name: whether the number is that of all tensors together.
        row: with a technique by name: the other options of its row, such as ``{"kind": "tensors"}``.
        training: as `laconic.compress` takes it.
        metadata: of the file.
        seed: of folds, batches and dropout.
        keep: keeps points, so that an interrupted call does none twice: such as `Cache.point` of the recipes.
        say: told of the progress.

    Raises:
        PlanError: for a technique that takes no number, values that it does not take, and folds without ``fresh``.
        DataError: when the task lacks the data.

    >>> import laconic
    >>> draw, module = torch.Generator().manual_seed(0), nn.Linear(6, 6, bias=False)
    >>> _ = module.weight.data.fill_(1.0).add_(torch.randn(6, 6, generator=draw), alpha=0.01)  # nearly of rank 1
    >>> x, noise = torch.randn(2, 60, 6, generator=draw)
    >>> task = laconic.Task(module, [(x, x.sum(1, keepdim=True) + noise)] * 10, nn.MSELoss())
    >>> select(module, laconic.LowRank, [3, 1, 2], task).value
    1
    """
    if not values or len(set(values)) < len(values):
        raise PlanError(f"values are different numbers, one at least, not {list(values)}")
    make = varied(technique, tensors, joint=joint, row=row) if isinstance(technique, str) else technique
    plans = [make(value) for value in values]
    if folds and not (fresh and refit):
        raise PlanError(
            "folds need `fresh`, the weights before training, and `refit`, how they are trained: a network that has "
            "learnt from all samples cannot be judged by any"
        )
    steps = folds * (len(values) + 1) + 1 if folds else len(values)
    job = _Job(network, task, effort, training, dict(metadata or {}), seed, keep, say, steps)
    if not (folds and fresh and refit):
        candidates, files = job.by_validation(values, plans)
        least, chosen = one_standard_error(candidates)
        return Selected(tuple(candidates), least, chosen, files[chosen])
    candidates = job.by_folds(values, plans, folds, fresh, refit)
    least, chosen = one_standard_error(candidates)
    whole = job.file(f"all samples, {values[chosen]:g}", plans[chosen], steps - 1)
    return Selected(tuple(candidates), least, chosen, whole)


def varied(
    technique: str, tensors: str | None = None, *, joint: bool = False, row: Mapping[str, Any] | None = None
) -> Make:
    """Return what makes a compression, or with ``tensors`` a plan, of a number.

    >>> varied("codebook")(4)
    AdaptiveCodebook(entries=4, ...)

    Raises:
        PlanError: for a technique that there is not, or that takes no number, and for a row that says it, too.
    """
    if technique not in TECHNIQUES:
        raise PlanError(f"there is no technique {technique!r}; there are {', '.join(TECHNIQUES)}")
    kind = TECHNIQUES[technique].options[technique].kind
    if kind not in (int, float):
        numbered = [key for key, one in TECHNIQUES.items() if one.options[key].kind in (int, float)]
        raise PlanError(f"{technique} takes no number that could be selected; these do: {', '.join(numbered)}")
    given = {**(row or {}), **({"joint": True} if joint else {})}
    if technique in given:
        raise PlanError(f"{technique} is what is selected: the rest of its row cannot say it, too")

    def make(value: float) -> Plan | Compression:
        whole = int(value) if kind is int and value == int(value) else value
        compression = parse_compression({technique: whole, **given}, technique)
        return compression if tensors is None else Plan({tensors: compression})

    return make


@final
@dataclass(frozen=True, eq=False)
class _Job:
    """What is the same for all points; arguments are those of `select`."""

    network: nn.Module | Params
    task: Task
    effort: Effort
    training: Training | None
    metadata: Mapping[str, str]
    seed: int
    keep: Keep
    say: Say
    steps: int

    def by_validation(self, values: Sequence[float], plans: Sequence[Any]) -> tuple[list[Tried], list[Result]]:
        """Return the candidates by the validation split, and their files."""
        self.task.split("validation")
        candidates, files = list[Tried](), list[Result]()
        for at, (value, plan) in enumerate(zip(values, plans, strict=True)):
            figures, tensors = self._point(f"{value:g}", self.network, plan, self.task, at)
            candidates.append(Tried(value, figures["bytes"], tensors["errors"].numpy()))
            files.append(_result(tensors["file"]))
        return candidates, files

    def by_folds(
        self, values: Sequence[float], plans: Sequence[Any], count: int, fresh: nn.Module | Params, refit: Optimization
    ) -> list[Tried]:
        """Return the candidates by folds of the training data."""
        first = params_of(fresh) if isinstance(fresh, nn.Module) else fresh
        sizes, errors = np.empty((len(values), count)), np.empty((len(values), count))
        for fold, task in enumerate(folds(self.task, count, self.seed)):
            name, begun = f"fold {fold + 1}", fold * (len(values) + 1)
            compute = partial(self._trained, name, first, refit, task, begun)
            _, reference = self.keep(f"{name}: network", compute)
            for number, (value, plan) in enumerate(zip(values, plans, strict=True)):
                figures, tensors = self._point(f"{name}: {value:g}", reference, plan, task, begun + 1 + number)
                sizes[number, fold], errors[number, fold] = figures["bytes"], float(tensors["errors"].mean())
        return [Tried(v, float(s.mean()), e) for v, s, e in zip(values, sizes, errors, strict=True)]

    def file(self, name: str, plan: Any, at: int) -> Result:
        """Return the file of the network itself, which nobody judges; ``at`` is the number of the step of the work."""
        compute = partial(self._compressed, name, self.network, plan, self.task, at)
        return _result(self.keep(name, lambda: ({}, {"file": _bytes(compute())}))[1]["file"])

    def _trained(self, name: str, first: Params, refit: Optimization, task: Task, at: int) -> Point:
        """Return the weights of a network that is trained without a fold."""
        state = start_training(first)
        for reached in train(task, state, refit, self.seed):
            state = reached
            done, text = state.epoch / refit.epochs, f"{name}: training, epoch {state.epoch}/{refit.epochs}"
            self.say((at + done) / self.steps, text)
        return {}, dict(state.weights)

    def _point(self, name: str, network: nn.Module | Params, plan: Any, task: Task, at: int) -> Point:
        """Return bytes, file and validation errors of one value."""

        def compute() -> Point:
            result = self._compressed(name, network, plan, task, at)
            errors = torch.from_numpy(errors_of(task, result.params, "validation"))
            return {"bytes": result.file_bytes}, {"file": _bytes(result), "errors": errors}

        return self.keep(name, compute)

    def _compressed(self, name: str, network: nn.Module | Params, plan: Any, task: Task, at: int) -> Result:
        """Return the network compressed, telling of the steps meanwhile."""
        self.say(at / self.steps, name)
        how = self.training or Training()
        whole = how.steps + how.finetune.epochs

        def watch(state: LCState) -> None:
            done = how.steps + state.tuning.epoch if state.tuning else min(state.progress.step, how.steps)
            self.say((at + done / max(1, whole)) / self.steps, f"{name}: step {done}/{whole}")

        trained: dict[str, Any] = {"training": how, "watch": watch} if self.effort == "train" else {}
        return compress(network, plan, task, self.effort, metadata=self.metadata, seed=self.seed, **trained)


def _bytes(result: Result) -> Tensor:
    """Return the bytes of a file."""
    return torch.frombuffer(bytearray(container.dumps(result.codes, result.metadata)), dtype=torch.uint8)


def _result(file: Tensor) -> Result:
    """Return what such bytes are the file of."""
    contents = container.loads(file.numpy().tobytes(), sys.maxsize)
    return Result(contents.codes, contents.metadata)
