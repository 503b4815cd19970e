"""A row of the table: one network, compressed in one way by one method."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, final

import numpy as np
from torch import Tensor

from laconic.api import compress
from laconic.errors import WeightsError
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.lc_curves import ratios
from laconic.experiments.recipes.lc_curves.settings import METHODS, Effort, Setting
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.reference import trained
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.experiments.recipes.statement import percent
from laconic.format.codes.counting import published_bits
from laconic.models.params import buffers_of
from laconic.plans.plan import weights_only
from laconic.result import Result
from laconic.training.binary import BinaryConnect
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class Network:
    """A trained network that is compressed.

    Args:
        title: its name to people.
        task: module, splits and loss; its training split is an epoch of every row.
        params: trained weights.
        reference: how many images it was trained on, each counted as often as it was seen, and the seconds, if here.
        effort: what is compared.
        context: of its share of the work.
    """

    title: str
    task: Task
    params: Mapping[str, Tensor]
    reference: tuple[int, float | None]
    effort: Effort
    context: Context

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of what is compressed: tensors with two axes or more."""
        return [tuple(tensor.shape) for tensor in self.params.values() if tensor.ndim >= 2]

    @property
    def counts(self) -> tuple[int, int]:
        """P₁ and P₀: weights, and all else that is trained."""
        weights = sum(map(math.prod, self.shapes))
        trained = dict(self.task.module.named_parameters())
        return weights, sum(tensor.numel() for name, tensor in self.params.items() if name in trained) - weights

    def counted(self, setting: Setting) -> float:
        """Return ρ as the source's formula has it."""
        weights, biases = self.counts
        if setting.family == "pruning":
            return ratios.pruning(weights, biases, setting.number, ratios.index_bits(self.shapes))
        learned = setting.number if setting.family == "adaptive" else int(setting.scaled)
        bits = ratios.quantization(weights, biases, int(setting.number), 0)
        return 1 / (1 / bits + learned * len(self.shapes) / (weights + biases))


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A compressed network.

    Args:
        setting: the compression; None for the reference.
        method: of `METHODS`.
        figures: plain numbers: "validation", the error in percent; "bytes" of the file; "rho" by the source's formula,
            "published" by codes; "steps"; "images" it was trained on, and "seconds" of the run
            since its last interrupt; or a "reason" why there is no network, and nothing else.
        errors: 1 where a test image is named wrongly, shape (samples,); empty where there is none.
    """

    setting: Setting | None
    method: str
    figures: Mapping[str, Any]
    errors: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        of = self.setting
        named = {"family": of.family, "setting": of.label} if of else {}
        test = {"test": percent(self.errors)} if len(self.errors) else {}
        return {**named, "method": self.method, **test, **self.figures}


def measured(network: Network) -> list[Row]:
    """Return all rows, the reference first, each computed once in the life of the folder."""
    jobs = [(setting, method) for setting in network.effort.settings for method in METHODS[setting.family]]
    rows = [_reference(network)]
    for number, (setting, method) in enumerate(jobs):
        share = network.context.part(number / len(jobs), (number + 1) / len(jobs))
        rows.append(_row(network, setting, method, share))
    return rows


def _reference(network: Network) -> Row:
    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        return _judged(network.task, network.params)

    figures, tensors = network.context.cache.point(f"{network.title}/uncompressed", compute)
    return Row(None, "reference", figures, tensors["errors"].double().numpy())


def _row(network: Network, setting: Setting, method: str, context: Context) -> Row:
    """Return a row; where it was interrupted, it goes on."""
    key = f"{network.title}/{setting.family}/{setting.label}/{method}"
    checkpoint = network.context.cache.path(f"{key}/state")

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        began = perf_counter()
        try:
            result, images = _made(network, setting, method, context, key)
        except WeightsError as error:
            return {"reason": str(error)}, {}
        seconds = perf_counter() - began
        dense = 32 * sum(tensor.numel() for tensor in network.params.values())
        judged, tensors = _judged(network.task, result.params)
        return {
            **judged, "bytes": result.file_bytes, "rho": round(network.counted(setting), 3),
            "published": round(dense / sum(published_bits(result.codes).values()), 3),
            "steps": result.history[-1].step if result.history else 0,
            "images": images, "seconds": round(seconds, 1),
        }, tensors  # fmt: skip

    figures, tensors = network.context.cache.point(key, compute)
    checkpoint.unlink(missing_ok=True)
    return Row(setting, method, figures, tensors["errors"].double().numpy() if tensors else np.zeros(0))


def _made(network: Network, setting: Setting, method: str, context: Context, key: str) -> tuple[Result, int]:
    """Return what a method makes of a network, and how many images it was trained on.

    Raises:
        WeightsError: when training diverges.
    """
    task, seed, images = network.task, network.context.seed, network.task.count("train") * network.effort.batch
    if method == "direct":
        return compress(network.params, setting.compression, task, "direct"), 0
    if method == "BinaryConnect":
        through = network.effort.in_training
        params = trained(context, key, task, through, network.params, BinaryConnect())
        return compress(params, setting.compression, task, "direct"), through.epochs * images
    how = network.effort.training(method)
    plan = weights_only(setting.compression, network.params, buffers_of(task.module))
    job = {"row": key, "seed": str(seed), "settings": json.dumps(network.effort.record())}
    watch = telling(context, f"{network.title}: {setting.label}, {method}", how)
    result = resumed(network.params, plan, task, how, seed, context.cache.path(f"{key}/state"), job, watch)
    return result, (result.history[-1].step * how.l_step.epochs + how.finetune.epochs) * images


def _judged(task: Task, params: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the validation error, and the errors on test images, which are read this once."""
    errors = {split: sample_by_sample(task, params, split)["errors"] for split in ("validation", "test")}
    return {"validation": percent(errors["validation"].double().numpy())}, {"errors": errors["test"]}
