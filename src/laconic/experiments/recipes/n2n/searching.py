"""A search of students, student by student: an interrupt costs one at most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.errors import DataError, WeightsError
from laconic.experiments.recipes.enlarged import enlarged
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.n2n.subject import TAUGHT, Budget, Subject
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.reference import trained
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.models.params import Params, params_of
from laconic.teachers import teacher as teaching
from laconic.teachers.distillation import distilled
from laconic.teachers.memory import remembered
from laconic.teachers.students.architecture import Architecture
from laconic.teachers.students.search import Method, Search, load_search, save_search, search
from laconic.training.loop import derive_seed, minimise
from laconic.training.passes import in_batches
from laconic.training.task import Task, classification


@final
@dataclass(frozen=True, eq=False)
class Teacher:
    """A teacher with what it has to do with its students.

    Args:
        rows: its architecture.
        ready: images in memory.
        speaker: it, who remembers what it has said of the training images that students are taught on.
        accuracy: on the validation images that students are judged by.
        errors: 1 where it names a test image wrongly, shape (samples,).
    """

    rows: Architecture
    ready: Dataset
    speaker: teaching.Teacher
    accuracy: float
    errors: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Found:
    """What a search has come to.

    Args:
        method: "policy" or "random".
        seed: of it.
        tried: students in order, as JSON says them.
        curve: best reward after each.
        best: the best student, as its rows say.
        parameters: of it.
        errors: 1 where it names a test image wrongly, shape (samples,).
    """

    method: Method
    seed: int
    tried: Sequence[Mapping[str, Any]]
    curve: Sequence[float]
    best: str
    parameters: int
    errors: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        error = round(100 * float(self.errors.mean()), 4)
        plain = {key: getattr(self, key) for key in ("method", "seed", "best", "parameters")}
        return {**plain, "test error": error, "tried": list(self.tried)}


def teacher_of(subject: Subject, budget: Budget, real: bool, context: Context) -> Teacher:
    """Return the teacher, trained once in the life of the folder or a published one, after it has said what it says.

    Raises:
        DataError: when its weights are missing.
    """
    preprocessing = nets.preprocessing_of(subject.net, subject.data)
    if real:
        ready = data.load(subject.data, context.data_dir, preprocessing)
    else:
        ready = data.prepare(enlarged(28), preprocessing, validation=200)
    module = nets.build(subject.net, ready.shape, ready.classes, context.seed)
    if subject.reference is None:
        weights = _published(subject, context)
    else:
        weights = trained(context, subject.net, classification(module, ready), subject.reference)

    speaker, pool = teaching.Teacher(module, weights), classification(module, _taught_on(ready, budget))
    context.say(1.0, f"{subject.title} says what it knows of {budget.pool:,} images at most")
    memory = remembered(speaker.says, speaker.digest, pool, context.cache.kept)

    def measure() -> tuple[dict[str, float], dict[str, Tensor]]:
        errors = sample_by_sample(classification(module, ready), weights, "test")["errors"]
        return {"accuracy": _accuracy(module, weights, ready, budget)}, {"errors": errors}

    figures, tensors = context.cache.point(f"{subject.net}/judged", measure)
    errors = tensors["errors"].double().numpy()
    return Teacher(subject.rows(ready.shape), ready, replace(speaker, memory=memory), figures["accuracy"], errors)


def _published(subject: Subject, context: Context) -> Params:
    """Return the weights of a published teacher."""
    assert context.data_dir is not None, "the data have been read from it"
    path = context.data_dir / subject.weights
    if not path.is_file():
        raise DataError(f"{subject.title} is a published network, {path}, which is missing: add it")
    return load_checkpoint(path)[0]


def speed(of: Teacher, budget: Budget) -> float:
    """Return how many images a second a student of the teacher's own size is taught on."""
    student = of.rows.build(torch.Generator().manual_seed(0))
    task = _lesson(student, of, budget, batches=4)
    minimise(task, params_of(student), budget.how, 0)
    began = perf_counter()
    minimise(task, params_of(student), budget.how, 0)
    return budget.how.epochs * 4 * budget.batch / (perf_counter() - began)


def _taught_on(ready: Dataset, budget: Budget) -> Dataset:
    """Return the images that students are taught on."""
    inputs, targets = (part[: budget.pool] for part in ready.split("train"))
    return Dataset(ready.name, {"train": (inputs, targets)}, ready.classes)


def _lesson(student: nn.Module, of: Teacher, budget: Budget, batches: int) -> Task:
    """Return what a student is taught by."""
    task = classification(student, _taught_on(of.ready, budget), batch=budget.batch)
    return in_batches(distilled(task, of.speaker, TAUGHT), batches)


def _accuracy(module: nn.Module, weights: Params, ready: Dataset, budget: Budget) -> float:
    """Return the accuracy on the validation images that students are judged by."""
    inputs, targets = (part[: budget.judged] for part in ready.split("validation"))
    task = classification(module, Dataset(ready.name, {"validation": (inputs, targets)}, ready.classes))
    return 1 - task.evaluate(weights, "validation")["error"] / 100


def found(of: Teacher, method: Method, budget: Budget, seed: int, key: str, context: Context) -> Found:
    """Return what a search comes to; of its best student the test images are read this once.

    Args:
        of: the teacher.
        method: of the search.
        budget: of it.
        seed: of students' first weights, of batches, policies and actions.
        key: names it in the cache.
        context: of its share of the work.
    """
    checkpoint = context.cache.path(f"{key}/state")
    job = {"key": key, "budget": str(budget.record()), "rows": of.rows.described(), "accuracy": repr(of.accuracy)}

    def judge(rows: Architecture) -> tuple[float, Params]:
        student = rows.build(torch.Generator().manual_seed(derive_seed(seed, 1)))
        task = _lesson(student, of, budget, max(1, budget.images // budget.batch))
        try:
            weights, _ = minimise(task, params_of(student), budget.how, derive_seed(seed, 2))
        except WeightsError:  # it has diverged: such a student names nothing
            return 0.0, {}
        return _accuracy(student, weights, of.ready, budget), weights

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        state = load_search(checkpoint, of.rows, budget.search, job) if checkpoint.exists() else Search()
        for reached in search(of.rows, of.accuracy, judge, method, budget.search, seed, state):
            state = reached
            save_search(checkpoint, state, job)
            done, last = len(state.tried), state.tried[-1]
            context.say(
                done / budget.search.students,
                f"{key}: student {done}/{budget.search.students}, reward {last.reward:.3f}, best {state.curve[-1]:.3f}",
            )
        if state.best is None:
            raise DataError(f"{key}: no student was smaller than its teacher; try more")
        student = state.best.build(torch.Generator())
        errors = sample_by_sample(classification(student, of.ready), state.weights, "test")["errors"]
        tried = [{k: v for k, v in vars(one).items() if k != "actions"} for one in state.tried]
        best = {"best": state.best.described(), "parameters": state.best.parameters}
        return {"tried": tried, "curve": state.curve, **best}, {"errors": errors}

    figures, tensors = context.cache.point(key, compute)
    checkpoint.unlink(missing_ok=True)
    return Found(
        method, seed, figures["tried"], figures["curve"], figures["best"], figures["parameters"],
        tensors["errors"].double().numpy(),
    )  # fmt: skip
