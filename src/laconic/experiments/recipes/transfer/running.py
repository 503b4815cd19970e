"""One file of each way: a network that is taught, or the teacher itself, compressed to the same bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.experiments.recipes.enlarged import enlarged
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.running import resumed_within
from laconic.experiments.recipes.reference import trained
from laconic.experiments.recipes.resumed import telling
from laconic.experiments.recipes.statement import percent
from laconic.experiments.recipes.transfer.subject import HIDDEN, LABELLED, SIZE, TEACHER, UNLABELLED, Budget, Way
from laconic.models import data, nets
from laconic.models.data import Dataset, read
from laconic.models.data.preprocessing import fit
from laconic.models.params import Params
from laconic.teachers.distillation import distilled
from laconic.teachers.students.architecture import perceptron
from laconic.teachers.synthetic import made_up, recorded
from laconic.teachers.teacher import Teacher
from laconic.training.loop import derive_seed
from laconic.training.passes import in_batches
from laconic.training.task import Task, classification

_HELD = 10
"""One image in so many of other data is held out, to judge by."""

_LAYER = "fc1"
"""Whose statistics, recorded on the training images, the teacher's own images meet."""


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A file.

    Args:
        way: how it came about.
        seed: of teacher and student.
        file_bytes: of it.
        before: test error in percent of what was compressed.
        errors: 1 where the file names a test image wrongly, shape (samples,).
    """

    way: str
    seed: int
    file_bytes: int
    before: float
    errors: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        plain = {"way": self.way, "seed": self.seed, "bytes": self.file_bytes, "before": self.before}
        return {**plain, "test error": percent(self.errors)}


@final
@dataclass(frozen=True, eq=False)
class Seed:
    """A teacher and its images.

    Args:
        ready: original images in memory.
        real: whether these are MNIST, and not what stands in for it.
        module: the teacher.
        params: its weights.
        budget: of what is run.
        seed: of all of it.
        context: of the whole.
    """

    ready: Dataset
    real: bool
    module: nn.Module
    params: Params
    budget: Budget
    seed: int
    context: Context

    @classmethod
    def of(cls, context: Context, real: bool, budget: Budget, seed: int) -> "Seed":
        """Return a teacher, trained once in the life of the folder."""
        ready = originals(context, real)
        module = nets.build(TEACHER, ready.shape, ready.classes, seed)
        task = classification(module, ready, batch=budget.batch)
        params = trained(context, f"seed {seed}/teacher", task, budget.reference)
        return cls(ready, real, module, params, budget, seed, context)

    def learned_from(self, way: Way) -> Dataset:
        """Return what a way learns from, and is judged by meanwhile; without labels the teacher chooses targets."""
        if way.data == "original":
            return self.ready
        makes: dict[str, Callable[[], Tensor]] = {
            "digits": self._digits, "noise": self._noise, "generated": lambda: self.generated()[0]
        }  # fmt: skip
        inputs = makes[way.data]()
        chosen = Teacher(self.module, self.params).says((inputs,)).argmax(1)
        own = torch.arange(len(inputs)) % _HELD != 0
        splits = {"train": (inputs[own], chosen[own]), "validation": (inputs[~own], chosen[~own])}
        return Dataset(way.data, splits, self.ready.classes)

    def lesson(self, module: nn.Module, way: Way, from_: Dataset) -> Task:
        """Return the task of learning from it: the teacher, and labels where there are any."""
        task = classification(module, from_, batch=self.budget.batch)
        how = LABELLED if way.data == "original" else UNLABELLED
        teacher = Teacher(self.module, self.params)
        return in_batches(distilled(task, teacher, how, cache=self.context.cache.kept), self.budget.batches)

    def _digits(self) -> Tensor:
        """Return the digits of scikit-learn, training and test ones, through the teacher's own preprocessing."""
        images = enlarged(self.ready.shape[-1])
        pixels = torch.cat([images.train[0], images.test[0]])
        return fit(self.ready.preprocessing, read("mnist", self.context.data_dir))(pixels)

    def _noise(self) -> Tensor:
        """Return images of which every pixel is as likely as any other between black and white."""
        low, high = self._bounds()
        generator = torch.Generator().manual_seed(derive_seed(self.seed, 3))
        return low + (high - low) * torch.rand(self.budget.noise, *self.ready.shape, generator=generator)

    def generated(self) -> tuple[Tensor, float]:
        """Return images that the teacher makes up, made once in the life of the folder, and how far they are off."""

        def compute() -> tuple[dict[str, float], dict[str, Tensor]]:
            met = recorded(classification(self.module, self.ready), self.params, [_LAYER])
            made = made_up(
                self.module, self.params, met, self.ready.shape, self.budget.made, self.budget.making,
                derive_seed(self.seed, 4), self._bounds(),
                lambda done: self.context.say(0.0, f"seed {self.seed}: {done:,} images made up"),
            )  # fmt: skip
            return {"apart": max(made.apart)}, {"inputs": made.inputs}

        figures, tensors = self.context.cache.point(f"seed {self.seed}/generated", compute)
        return tensors["inputs"], figures["apart"]

    def _bounds(self) -> tuple[float, float]:
        """Return what black and white are."""
        inputs = self.ready.split("train")[0]
        return float(inputs.min()), float(inputs.max())


def originals(context: Context, real: bool) -> Dataset:
    """Return MNIST, or digits of as many pixels."""
    preprocessing = nets.preprocessing_of(TEACHER, "mnist")
    if real:
        return data.load("mnist", context.data_dir, preprocessing)
    return data.prepare(enlarged(28), preprocessing, validation=200)


def row(of: Seed, way: Way, context: Context) -> Row:
    """Return the file of a way; test images are read once for what is compressed and once for the file."""
    key, from_ = f"seed {of.seed}/{way.name}", of.learned_from(way)
    if way.scheme == "network":
        module, params = of.module, of.params
    else:
        generator = torch.Generator().manual_seed(derive_seed(of.seed, 5))
        module = perceptron(of.ready.shape, (*HIDDEN, of.ready.classes)).build(generator)
        task = of.lesson(module, way, from_)
        params = trained(context.part(0.0, 0.3), f"{key}, student", task, of.budget.teaching)
    checkpoint, test = context.cache.path(f"{key}/state"), classification(module, of.ready)

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        task = of.lesson(module, way, from_)
        watch = telling(context.part(0.3, 1.0), key, of.budget.effort.learning)
        result = resumed_within(SIZE, params, task, of.budget.effort, of.seed, checkpoint, watch)
        before = test.evaluate(params, "test")["error"]
        errors = sample_by_sample(test, result.params, "test")["errors"]
        return {"bytes": result.file_bytes, "before": round(before, 4)}, {"errors": errors}

    figures, tensors = context.cache.point(key, compute)
    checkpoint.unlink(missing_ok=True)
    return Row(way.name, of.seed, figures["bytes"], figures["before"], tensors["errors"].double().numpy())
