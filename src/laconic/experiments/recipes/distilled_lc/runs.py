"""A reference network of one seed, and what LC makes of it with and without a teacher."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.compression import Compression
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.lc_curves.settings import Effort, adaptive, pruning
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.network import for_rows
from laconic.experiments.recipes.records.running import resumed_within
from laconic.experiments.recipes.records.subject import Subject
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.experiments.recipes.statement import percent
from laconic.models.checkpoints import checkpoint_size
from laconic.models.params import buffers_of
from laconic.plans.plan import weights_only
from laconic.result import Result
from laconic.teachers.distillation import distilled
from laconic.teachers.softening import Distillation
from laconic.training.task import Task, mode

TAUGHT = Distillation()
"""How the original teaches: the settings in print, none of which is tuned here."""

METHODS: Mapping[str, Distillation | None] = {"LC": None, "LC, distilled": TAUGHT}

RATIO = 60


@final
@dataclass(frozen=True)
class Setting:
    """One compression of all weights.

    Args:
        label: its name.
        compression: the C step, or None for a size.
        size: in bytes, of the file, or None.
    """

    label: str
    compression: Compression | None = None
    size: int | None = None


def settings_of(effort: Effort, reference_bytes: int) -> list[Setting]:
    """Return what is tried on a network of so many bytes."""
    few = [Setting(one.label, one.compression) for one in (adaptive(2), pruning(0.05))]
    return [*few, Setting(f"{RATIO} times smaller", size=reference_bytes // RATIO)]


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A compressed network.

    Args:
        seed: of reference and LC.
        label: of the setting; "uncompressed" for the reference.
        method: of `METHODS`; "" for the reference.
        figures: "validation", the error in percent, "bytes" of the file and "seconds" since the last interrupt.
        errors: 1 where a test image is named wrongly, shape (samples,).
    """

    seed: int
    label: str
    method: str
    figures: Mapping[str, Any]
    errors: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        named = {"seed": self.seed, "setting": self.label, "method": self.method}
        return {**named, "test": percent(self.errors), **self.figures}


@final
@dataclass(frozen=True, eq=False)
class Seed:
    """A reference network, which is its own teacher.

    Args:
        task: what is trained and judged.
        params: trained weights.
        effort: how LC is run.
        seed: of all of it.
        context: of its share of the work.
    """

    task: Task
    params: Mapping[str, Tensor]
    effort: Effort
    seed: int
    context: Context

    @classmethod
    def of(cls, subject: Subject, effort: Effort, name: str, seed: int, context: Context) -> "Seed":
        """Return it, its reference trained once in the life of the folder."""
        key, part = f"seed {seed}", context.part(0.0, 0.1)
        task, params = for_rows(subject, name, effort.before, effort.rows, seed, key, part)
        return cls(task, params, effort, seed, context.part(0.1, 1.0))

    @property
    def reference_bytes(self) -> int:
        """Bytes of the checkpoint."""
        return checkpoint_size(self.params)

    def rows(self, settings: Sequence[Setting]) -> list[Row]:
        """Return all rows, the reference first."""
        found = [self._kept("uncompressed", "", lambda: self._judged(self.params))]
        jobs = [(setting, method) for setting in settings for method in METHODS]
        for at, (setting, method) in enumerate(jobs):
            part = self.context.part(at / len(jobs), (at + 1) / len(jobs))
            found.append(replace(self, context=part)._row(setting, method))
        return found

    def logits(self) -> np.ndarray:
        """Return the reference's logits for a validation image of which it is as sure as of half of those it names."""
        with torch.no_grad(), mode(self.task.module, training=False):
            batch = next(self.task.batches("validation", 0))
            here = {name: tensor.to(batch[0].device) for name, tensor in self.params.items()}
            outputs: Tensor = self.task.outputs(here, batch)
        right = outputs[outputs.argmax(1) == batch[1]]
        order = right.softmax(1).amax(1).argsort(stable=True)
        return right[order[len(order) // 2]].double().cpu().numpy()

    def _row(self, setting: Setting, method: str) -> Row:
        """Return what a method makes of a setting; where it was interrupted, it goes on."""
        checkpoint = self.context.cache.path(f"seed {self.seed}/{setting.label}/{method}/state")

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            began, how = perf_counter(), METHODS[method]
            task = self.task if how is None else distilled(self.task, self.params, how)
            result = self._compressed(setting, method, task)
            figures, tensors = self._judged(result.params)
            return {**figures, "bytes": result.file_bytes, "seconds": round(perf_counter() - began, 1)}, tensors

        row = self._kept(setting.label, method, compute)
        checkpoint.unlink(missing_ok=True)
        return row

    def _compressed(self, setting: Setting, method: str, task: Task) -> Result:
        """Return the result of LC, a step of which is all that an interrupt costs."""
        how, label = self.effort.learning, f"seed {self.seed}/{setting.label}/{method}"
        checkpoint = self.context.cache.path(f"{label}/state")
        watch = telling(self.context, label, how)
        if setting.size is not None:
            effort = replace(self.effort.rows, learning=how)
            return resumed_within(setting.size, self.params, task, effort, self.seed, checkpoint, watch)
        assert setting.compression is not None, "a setting has one of the two"
        plan = weights_only(setting.compression, self.params, buffers_of(task.module))
        job = {"row": label, "settings": json.dumps(self.effort.record())}
        return resumed(self.params, plan, task, how, self.seed, checkpoint, job, watch)

    def _kept(self, label: str, method: str, compute: Any) -> Row:
        """Return a row, computed once in the life of the folder."""
        figures, tensors = self.context.cache.point(f"seed {self.seed}/{label}/{method}", compute)
        return Row(self.seed, label, method, figures, tensors["errors"].double().numpy())

    def _judged(self, params: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the validation error, and the errors on test images, which are read this once."""
        errors = {split: sample_by_sample(self.task, params, split)["errors"] for split in ("validation", "test")}
        return {"validation": percent(errors["validation"].double().numpy())}, {"errors": errors["test"]}
