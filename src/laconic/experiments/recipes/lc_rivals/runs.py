"""A network of one seed, and what each method makes of it; a row is computed once, and goes on where it stopped."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, final

from torch import Tensor

from laconic.errors import WeightsError
from laconic.experiments.recipes.distilled_lc.runs import Row
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.lc_rivals.settings import METHODS, Setting, training
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.network import for_rows
from laconic.experiments.recipes.records.subject import Subject
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.experiments.recipes.statement import percent
from laconic.models.checkpoints import checkpoint_size
from laconic.models.params import apply_to, buffers_of
from laconic.plans.activity import measured
from laconic.plans.coupling import coupled
from laconic.plans.plan import Plan, weights_only
from laconic.result import Result
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class Seed:
    """A reference network.

    Args:
        title: its name to people.
        task: what is trained and judged.
        params: trained weights.
        effort: how methods are run.
        seed: of all of it.
        context: of its share of the work.
    """

    title: str
    task: Task
    params: Mapping[str, Tensor]
    effort: Effort
    seed: int
    context: Context

    @classmethod
    def of(cls, subject: Subject, effort: Effort, name: str, seed: int, context: Context) -> "Seed":
        """Return it, its reference trained once in the life of the folder."""
        key, part = f"{subject.title}/seed {seed}", context.part(0.0, 0.1)
        task, params = for_rows(subject, name, effort.before, effort.rows, seed, key, part)
        return cls(subject.title, task, params, effort, seed, context.part(0.1, 1.0))

    def rows(self, settings: Sequence[Setting]) -> list[Row]:
        """Return all rows, the reference first."""
        whole = checkpoint_size(self.params)
        found = [self._kept("uncompressed", "", lambda: self._judged(self.params, {"bytes": whole}))]
        jobs = [(setting, method) for setting in settings for method in METHODS[setting.family]]
        for at, (setting, method) in enumerate(jobs):
            part = self.context.part(at / len(jobs), (at + 1) / len(jobs))
            found.append(replace(self, context=part)._row(setting, method))
        return found

    def _row(self, setting: Setting, method: str) -> Row:
        """Return what a method makes of a setting; where it was interrupted, it goes on."""
        label = f"{self.title}/seed {self.seed}/{setting.label}/{method}"
        checkpoint = self.context.cache.path(f"{label}/state")

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            began, how = perf_counter(), training(setting, method, self.effort.learning)
            job = {"row": label, "settings": json.dumps(self.effort.record())}
            watch = telling(self.context, label, how)
            plan = self._plan(setting, method)
            result = resumed(self.params, plan, self.task, how, self.seed, checkpoint, job, watch)
            figures = {"seconds": round(perf_counter() - began, 1), **self._size(setting, result)}
            return self._judged(result.params, figures)

        row = self._kept(setting.label, method, compute)
        checkpoint.unlink(missing_ok=True)
        return row

    def _plan(self, setting: Setting, method: str) -> Plan:
        """Return what each tensor gets; of neurons with all that goes along, so that they can be removed."""
        compression = setting.by(method)
        if setting.family != "neurons":
            return weights_only(compression, self.params, buffers_of(self.task.module))
        module, inputs = deepcopy(self.task.module), next(self.task.batches("validation", 0))[0][:1]
        apply_to(module, dict(self.params))
        *hidden, _ = [name for name, tensor in self.params.items() if tensor.ndim > 1]
        plan = measured(Plan(dict.fromkeys(hidden, compression)), self.task, self.params)
        return coupled(plan, module, inputs)

    def _size(self, setting: Setting, result: Result) -> dict[str, int]:
        """Return the bytes of the file, and the multiply-adds of an image once what is empty is cut out."""
        with suppress(WeightsError):  # of single weights nothing is empty, or too little
            if setting.family == "neurons":
                image = next(self.task.batches("validation", 0))[0][:1].cpu()
                smaller = result.shrink(deepcopy(self.task.module).cpu(), image)
                assert smaller.shrunk is not None, "it was shrunk"
                return {"bytes": smaller.file_bytes, "multiply-adds": smaller.shrunk.multiply_adds[1]}
        return {"bytes": result.file_bytes}

    def _kept(self, label: str, method: str, compute: Any) -> Row:
        """Return a row, computed once in the life of the folder."""
        key = f"{self.title}/seed {self.seed}/{label}/{method}"
        figures, tensors = self.context.cache.point(key, compute)
        return Row(self.seed, label, method, figures, tensors["errors"].double().numpy())

    def _judged(
        self, params: Mapping[str, Tensor], figures: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the validation error, and the errors on test images, which are read this once."""
        errors = {split: sample_by_sample(self.task, params, split)["errors"] for split in ("validation", "test")}
        validation = percent(errors["validation"].double().numpy())
        return {"validation": validation, **figures}, {"errors": errors["test"]}
