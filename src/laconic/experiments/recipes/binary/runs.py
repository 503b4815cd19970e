"""A reference network of one seed, and what each method makes of it in as many epochs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, final

import numpy as np
from torch import Tensor

from laconic.api import compress
from laconic.errors import WeightsError
from laconic.experiments.recipes.binary.methods import METHODS, Method
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.network import for_rows
from laconic.experiments.recipes.records.subject import Subject
from laconic.experiments.recipes.reference import seconds_of, trained
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.experiments.recipes.statement import percent
from laconic.models.params import buffers_of
from laconic.plans.plan import weights_only
from laconic.result import Result
from laconic.training.binary_activations import binary_activations
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A network of one method, at one rate.

    Args:
        seed: of reference and training.
        method: of `METHODS`; "reference".
        rate: the learning rate at the start; None for the reference.
        figures: "validation", the error in percent; "bytes" of the file; "seconds" of training; or a "reason" why
            there is no network, and nothing else.
        errors: 1 where a test image is named wrongly, shape (samples,); empty where there is none.
    """

    seed: int
    method: str
    rate: float | None
    figures: Mapping[str, Any]
    errors: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        test = {"test": percent(self.errors)} if len(self.errors) else {}
        return {"seed": self.seed, "method": self.method, "rate": self.rate, **test, **self.figures}


@final
@dataclass(frozen=True, eq=False)
class Seed:
    """A reference network, trained once in the life of the folder.

    Args:
        net: its name.
        task: what is trained and judged.
        params: trained weights.
        effort: how LC is run; all others have as many epochs.
        seed: of all of it.
        context: of its share of the work.
    """

    net: str
    task: Task
    params: Mapping[str, Tensor]
    effort: Effort
    seed: int
    context: Context

    @classmethod
    def of(cls, subject: Subject, effort: Effort, name: str, seed: int, context: Context) -> "Seed":
        """Return it."""
        key, part = f"{subject.net}/seed {seed}", context.part(0.0, 0.1)
        task, params = for_rows(subject, name, effort.before, effort.rows, seed, key, part)
        return cls(subject.net, task, params, effort, seed, replace(context, seed=seed).part(0.1, 1.0))

    @property
    def epochs(self) -> int:
        """Epochs of each run, those of fine-tuning with them."""
        how = self.effort.learning
        return how.steps * how.l_step.epochs + how.finetune.epochs

    def reference(self) -> Row:
        """Return the row of the network before."""
        figures, tensors = self.context.cache.point(
            f"{self.net}/seed {self.seed}/judged", lambda: _judged(self.task, self.params)
        )
        return Row(self.seed, "reference", None, figures, tensors["errors"].double().numpy())

    def rows(self, runs: Sequence[tuple[str, float]]) -> list[Row]:
        """Return the rows of methods at rates, each computed once in the life of the folder."""
        found = list[Row]()
        for at, (name, rate) in enumerate(runs):
            part = self.context.part(at / len(runs), (at + 1) / len(runs))
            part.say(0.0, f"{self.net}, seed {self.seed}: run {at + 1} of {len(runs)}, each of {self.epochs} epochs")
            found.append(replace(self, context=part)._row(name, rate))
        return found

    def _row(self, name: str, rate: float) -> Row:
        """Return the row of a method at a rate; where it was interrupted, it goes on."""
        method = METHODS[name]
        task = binary_activations(self.task) if method.signs else self.task
        path = self.context.cache.path(f"{self._key(method, rate)}/LC")

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            try:
                result, seconds = self._made(method, rate, task)
            except WeightsError as error:
                self.context.cache.path(f"{self._key(method, rate)}/state").unlink(missing_ok=True)
                return {"reason": str(error)}, {}
            figures, tensors = _judged(task, result.params)
            return {**figures, "bytes": result.file_bytes, "seconds": round(seconds, 1)}, tensors

        figures, tensors = self.context.cache.point(f"{self.net}/seed {self.seed}/{name}/{rate:g}", compute)
        path.unlink(missing_ok=True)
        return Row(self.seed, name, rate, figures, tensors["errors"].double().numpy() if tensors else np.zeros(0))

    def _made(self, method: Method, rate: float, task: Task) -> tuple[Result, float]:
        """Return what a method makes of the network, and the seconds of training.

        Raises:
            WeightsError: when training diverges.
        """
        key = self._key(method, rate)
        if method.latent is not None:
            how = Optimization(self.epochs, rate, cosine)
            params = trained(self.context, key, task, how, self.params, method.latent)
            return compress(params, method.compression, task, "direct"), seconds_of(self.context, key) or 0.0
        how_lc = replace(self.effort.learning, l_step=replace(self.effort.learning.l_step, lr=rate))
        plan = weights_only(method.compression, self.params, buffers_of(task.module))
        job = {"row": key, "settings": json.dumps(self.effort.record())}
        began, watch = perf_counter(), telling(self.context, key, how_lc)
        path = self.context.cache.path(f"{key}/LC")
        result = resumed(self.params, plan, task, how_lc, self.seed, path, job, watch)
        return result, perf_counter() - began

    def _key(self, method: Method, rate: float) -> str:
        """Name a training: what it is of, and how fast."""
        return f"{self.net}/seed {self.seed}/{method.training}/{rate:g}"


def chosen(rows: Sequence[Row]) -> dict[str, float]:
    """Return by method the rate of the least validation error among ``rows``, the lower one of equal ones.

    A method that has no network at any rate is left out.
    """
    best = dict[str, Row]()
    for row in sorted((row for row in rows if row.rate is not None and len(row.errors)), key=lambda row: row.rate or 0):
        before = best.get(row.method)
        if before is None or row.figures["validation"] < before.figures["validation"]:
            best[row.method] = row
    return {method: row.rate for method, row in best.items() if row.rate is not None}


def _judged(task: Task, params: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the validation error, and the errors on test images."""
    errors = {split: sample_by_sample(task, params, split)["errors"] for split in ("validation", "test")}
    return {"validation": percent(errors["validation"].double().numpy())}, {"errors": errors["test"]}
