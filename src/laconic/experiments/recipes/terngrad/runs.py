"""A network trained by one worker or several, which share each batch and send gradients one way or another.

Workers are played in one process: processes end with the same bits (`tests/machines/test_processes.py`). Several
workers that send float32 are one but for rounding, so that is trained once; PowerSGD's steps go by the mean gradient
alone, so that is, too (`laconic.machines.powersgd`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.terngrad.costs import gradient_of, measured, recorded
from laconic.machines.catalogue import scheme_of
from laconic.machines.exchange import Exchange
from laconic.machines.largest import Largest
from laconic.machines.powersgd import PowerSGD
from laconic.machines.timing import Measured
from laconic.machines.wires import InOneProcess
from laconic.machines.workers import Workers
from laconic.models import data, nets
from laconic.models.params import Params, params_of
from laconic.training.batches import targets_of
from laconic.training.loop import Gradients
from laconic.training.optimization import Optimization, plain
from laconic.training.task import Task, classification, mode
from laconic.training.trainer import start_training, train

FLOAT, TERNGRAD, POWERSGD = "float32", "terngrad", "powersgd:2"
WAYS = (FLOAT, "bfloat16", TERNGRAD, "qsgd:7", "dgc:0.001", POWERSGD)
ALL = 0
"""Stands for any number of workers: they are as one."""

_WARM_UP = 0.2
"""The share of all steps in which DGC sends more; four stages."""


@final
@dataclass(frozen=True)
class Effort:
    """What is trained, and how.

    Args:
        net: name of the network.
        data: name of the data set.
        how: of each network.
        batch: samples of all workers together.
        margin: points of error: what costs less, with 95 %, is as good.
    """

    net: str
    data: str
    how: Optimization
    batch: int
    margin: float


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A network, trained and judged.

    Args:
        way: how gradients travelled.
        workers: how many; `ALL` where that makes no difference.
        wrong: 1 where a test image is named wrongly, shape (samples,).
        message: bytes that a worker gives away a step, mean over steps and workers.
        seconds: of CPU, for a step of all workers in one process.
    """

    way: str
    workers: int
    wrong: np.ndarray
    message: float
    seconds: float


def task_of(effort: Effort, context: Context) -> Task:
    """Return the task of a network with its first weights."""
    images = data.load(effort.data, context.data_dir, nets.preprocessing_of(effort.net, effort.data))
    module = nets.build(effort.net, images.shape, images.classes, context.seed)
    return classification(module, images, batch=effort.batch)


def run_of(way: str, workers: int, effort: Effort, context: Context) -> Run:
    """Return a network that was trained and judged once in the life of the folder."""
    key = f"{effort.net} {effort.data}, {way}, {workers or 'any number of'} workers"

    def compute() -> Point:
        task = task_of(effort, context)
        how, gradients = _gradients(way, workers, task, effort, context.seed)
        state, began = start_training(params_of(task.module)), time.process_time()
        for reached in train(task, state, how, context.seed, gradients=gradients):
            state = reached
            context.say(state.epoch / how.epochs, f"{key}: epoch {state.epoch}/{how.epochs}, loss {state.loss:.4f}")
        took = (time.process_time() - began) / (how.epochs * task.count("train"))
        figures = {"message": round(_message(task, gradients), 1), "seconds": round(took, 5)}
        return figures, {"wrong": _wrong(task, state.weights)}

    figures, tensors = context.cache.point(key, compute)
    wrong = tensors["wrong"].numpy().astype(float)
    return Run(way, workers, wrong, figures["message"], figures["seconds"])


def _message(task: Task, gradients: Gradients | None) -> float:
    """Return the bytes that a worker gives away a step."""
    if isinstance(gradients, Workers):
        return gradients.bytes_a_step[0]
    if isinstance(gradients, PowerSGD):
        return gradients.message
    return 4 * sum(leaf.numel() for leaf in task.module.parameters())


def _gradients(
    way: str, workers: int, task: Task, effort: Effort, seed: int
) -> tuple[Optimization, Gradients | None]:  # fmt: skip
    """Return how the optimizer is run, and what gives it gradients; None for a backward pass."""
    if way == FLOAT:
        return effort.how, None
    kind, _, rank = way.partition(":")
    if kind == "powersgd":
        return effort.how, PowerSGD(int(rank or 1), seed)
    scheme = scheme_of(way)
    if scheme.memory.has_momentum and isinstance(scheme.codec, Largest):
        stage = round(_WARM_UP / 4 * effort.how.epochs * task.count("train"))
        scheme = replace(scheme, warm_up=max(1, stage))
    shapes = {name: tuple(leaf.shape) for name, leaf in task.module.named_parameters()}
    how = replace(effort.how, optimizer=plain) if scheme.memory.has_momentum else effort.how
    return how, Workers(Exchange(scheme, InOneProcess(workers), shapes, seed))


def _wrong(task: Task, weights: Params) -> Tensor:
    """Return 1 where a test image is named wrongly, 0 elsewhere, shape (samples,)."""
    with torch.no_grad(), mode(task.module, training=False):
        wrong = [task.outputs(weights, batch).argmax(1) != targets_of(batch) for batch in task.batches("test", 0)]
    return torch.cat(wrong).to(torch.uint8)


def costs_of(effort: Effort, context: Context, times: int) -> Mapping[str, Measured]:
    """Return what a step is made of by each way, each worker having a whole batch."""

    def compute() -> Point:
        context.say(0.0, f"{effort.net} {effort.data}: times of a step")
        gradient, took = gradient_of(task_of(effort, context), times, context.seed)
        figures: dict[str, Any] = {way: recorded(measured(gradient, way, took, times)) for way in WAYS}
        return figures, {}

    figures, _ = context.cache.point(f"{effort.net} {effort.data}, times", compute)
    return {way: Measured(**parts) for way, parts in figures.items()}
