"""The networks of the table, one after the other: each is trained once in the life of a folder, and judged once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.api import compress
from laconic.errors import DataError
from laconic.experiments.recipes.distillation.subject import BITS, SHELF, TAUGHT, Scale
from laconic.experiments.recipes.enlarged import enlarged
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.reference import shortened, trained
from laconic.experiments.recipes.statement import percent
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.models.params import Params, beside
from laconic.teachers.distillation import distilled
from laconic.teachers.teacher import Teacher
from laconic.training.task import Task, classification

ALONE, WITHOUT, DISTILLED = "alone", "alone, without dropout", "distilled"
WAYS = (ALONE, WITHOUT, DISTILLED)
"""How a student is trained. In the authors' code those alone have dropout, and those distilled have none."""


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A network of the table.

    Args:
        net: its name.
        way: "teacher", or one of `WAYS`.
        parameters: that it has.
        errors: 1 where it names a test image wrongly, shape (samples,).
        files: of each number of bits a weight the bytes of the file, and its test error in percent.
    """

    net: str
    way: str
    parameters: int
    errors: np.ndarray
    files: tuple[Mapping[str, Any], ...] = ()

    @property
    def megabytes(self) -> float:
        """Of all parameters as floats of 32 bits, in 10⁶ bytes: the table's column."""
        return 4 * self.parameters / 1e6

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        plain = {key: getattr(self, key) for key in ("net", "way", "parameters")}
        return {**plain, "MB": round(self.megabytes, 4), "test error": percent(self.errors), "files": list(self.files)}


@final
@dataclass(frozen=True, eq=False)
class Table:
    """What its rows have in common.

    Args:
        scale: how long is trained.
        ready: images in memory.
        context: of the whole.
    """

    scale: Scale
    ready: Dataset
    context: Context

    def task(self, module: nn.Module) -> Task:
        """Return the task of a network."""
        task = classification(module, self.ready, batch=self.scale.batch)
        return task if self.scale.images is None else shortened(task, self.scale.images, self.scale.batch)

    def build(self, net: str) -> nn.Module:
        """Return a network with first weights, where the images are."""
        device = self.ready.split("test")[0].device
        return nets.build(net, self.ready.shape, self.ready.classes, self.context.seed).to(device)


def images(context: Context, scale: Scale) -> Dataset:
    """Return the images, CIFAR-10 or digits of as many pixels, on a GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if scale.name == "digits":
        return data.prepare(enlarged(32, 3), "imagenet", validation=200).to(device)
    return data.load("cifar10", context.data_dir, "imagenet", augment="crop and flip").to(device)


def teacher_row(table: Table, shelf: bool, context: Context) -> tuple[Row, Teacher]:
    """Return the row of the teacher, and the teacher.

    Raises:
        DataError: when a published one is missing.
    """
    name = SHELF[0] if shelf else table.scale.teacher
    module = table.build(name)
    task = table.task(module)
    if shelf:
        assert context.data_dir is not None, "the data have been read from it"
        path = context.data_dir / SHELF[1]
        if not path.is_file():
            raise DataError(f"the teacher of this variant is the published network {path}, which is missing: add it")
        params: Params = beside(module, load_checkpoint(path)[0])
    else:
        params = trained(context, f"teacher {name}", task, table.scale.how)
    key = f"teacher {name}/judged"
    _, tensors = context.cache.point(key, lambda: ({}, {"errors": sample_by_sample(task, params, "test")["errors"]}))
    return Row(name, "teacher", _count(module), tensors["errors"].double().numpy()), Teacher(module, params)


def student_row(table: Table, net: str, way: str, teacher: Teacher, context: Context) -> Row:
    """Return the row of a student.

    Args:
        table: what it has in common with the others.
        net: its name.
        way: one of `WAYS`.
        teacher: whom it listens to, where it is distilled.
        context: of its share of the work.
    """
    module, key = table.build(net), f"{net} {way}"
    if way != ALONE:
        without_dropout(module)
    task = table.task(module)
    lesson = distilled(task, teacher, TAUGHT) if way == DISTILLED else task
    weights = trained(context.part(0.0, 0.9), key, lesson, table.scale.how)

    def judge() -> tuple[dict[str, Any], dict[str, Tensor]]:
        files = list[dict[str, Any]]()
        for number, bits in enumerate(BITS):
            context.say(0.9 + 0.1 * number / len(BITS), f"{key}: a file of {bits:g} bits a weight")
            result = compress(weights, bits=bits)
            error = task.evaluate(result.params, "test")["error"]
            files.append({"bits": bits, "bytes": result.file_bytes, "test error": round(error, 4)})
        return {"files": files}, {"errors": sample_by_sample(task, weights, "test")["errors"]}

    figures, tensors = context.cache.point(f"{key}/judged", judge)
    return Row(net, way, _count(module), tensors["errors"].double().numpy(), tuple(figures["files"]))


def without_dropout(module: nn.Module) -> None:
    """Leave dropout out of a network, in place."""
    for part in module.modules():
        if isinstance(part, nn.Dropout | nn.Dropout2d):
            part.p = 0.0


def _count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
