"""One file of each way: a network that is taught, or the teacher itself, compressed to the same bytes."""

from collections.abc import Callable, Mapping
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
from laconic.experiments.recipes.statement import percent
from laconic.experiments.recipes.transfer.subject import (
    ALPHA,
    BETA,
    HIDDEN,
    SIZE,
    TEACHER,
    TEMPERATURE,
    Budget,
    Way,
)
from laconic.lc.state import LCState
from laconic.models import data, nets
from laconic.models.data import Dataset, read
from laconic.models.data.preprocessing import fit
from laconic.models.params import Params
from laconic.teachers.students.architecture import perceptron
from laconic.teachers.students.teaching import in_order, kept, lessons, says, softened, taught
from laconic.teachers.synthetic import made_up, recorded
from laconic.training.judges import cross_entropy, error
from laconic.training.loop import derive_seed
from laconic.training.task import Task, classification

_HELD = 10
"""One image in so many of other data is held out, to judge by."""

_LAYER = "fc1"
"""Whose statistics, recorded on the training images, the teacher's own images meet."""


@final
@dataclass(frozen=True, eq=False)
class Taught:
    """What a network learns from.

    Args:
        inputs: shape (images, ...).
        targets: labels, or where there are none what the teacher would choose.
        said: the teacher's logits.
        held: the same three of images to judge by.
        labelled: whether targets are labels.
    """

    inputs: Tensor
    targets: Tensor
    said: Tensor
    held: tuple[Tensor, Tensor, Tensor]
    labelled: bool


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

    def learned_from(self, way: Way) -> Taught:
        """Return what a way learns from, with what the teacher says of it."""
        if way.data == "original":
            train, last = (self.ready.split(split) for split in ("train", "validation"))
            heard = says(self.module, self.params, last[0])
            return Taught(*train, says(self.module, self.params, train[0]), (*last, heard), labelled=True)
        makes: dict[str, Callable[[], Tensor]] = {
            "digits": self._digits, "noise": self._noise, "generated": lambda: self.generated()[0]
        }  # fmt: skip
        inputs = makes[way.data]()
        said = says(self.module, self.params, inputs)
        chosen, own = said.argmax(1), torch.arange(len(inputs)) % _HELD != 0
        held = (inputs[~own], chosen[~own], said[~own])
        return Taught(inputs[own], chosen[own], said[own], held, labelled=False)

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


def lesson(module: nn.Module, of: Taught, budget: Budget) -> Task:
    """Return the task of learning from it: the teacher, and labels where there are any."""
    train = lessons(of.inputs, of.targets, of.said, budget.batch, budget.batches)
    task = Task(module, train, cross_entropy, validation=in_order(*of.held), measures={"error": error})
    own, share = (ALPHA, BETA) if of.labelled else (0.0, 1.0)
    return taught(task, kept, softened(TEMPERATURE), own, share)


def row(of: Seed, way: Way, context: Context) -> Row:
    """Return the file of a way; test images are read once for what is compressed and once for the file."""
    key, from_ = f"seed {of.seed}/{way.name}", of.learned_from(way)
    if way.scheme == "network":
        module, params = of.module, of.params
    else:
        generator = torch.Generator().manual_seed(derive_seed(of.seed, 5))
        module = perceptron(of.ready.shape, (*HIDDEN, of.ready.classes)).build(generator)
        params = trained(
            context.part(0.0, 0.3), f"{key}, student", lesson(module, from_, of.budget), of.budget.teaching
        )
    checkpoint, test = context.cache.path(f"{key}/state"), classification(module, of.ready)

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        task = lesson(module, from_, of.budget)
        watch = _watching(key, of.budget, context)
        result = resumed_within(SIZE, params, task, of.budget.effort, of.seed, checkpoint, watch)
        before = test.evaluate(params, "test")["error"]
        errors = sample_by_sample(test, result.params, "test")["errors"]
        return {"bytes": result.file_bytes, "before": round(before, 4)}, {"errors": errors}

    figures, tensors = context.cache.point(key, compute)
    checkpoint.unlink(missing_ok=True)
    return Row(way.name, of.seed, figures["bytes"], figures["before"], tensors["errors"].double().numpy())


def _watching(key: str, budget: Budget, context: Context) -> Callable[[LCState], None]:
    """Return what says how far LC has come."""
    how = budget.effort.learning

    def watch(state: LCState) -> None:
        at, tuned = state.progress, state.tuning.epoch if state.tuning else 0
        far: Mapping[str, float] = at.validation or {}
        done = (at.step + tuned) / (how.steps + how.finetune.epochs + 1)
        context.say(0.3 + 0.7 * done, f"{key}: step {at.step}, {far.get('error', float('nan')):.2f} %")

    return watch
