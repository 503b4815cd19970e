"""Other parametrisations of small networks: each within the same bytes, by the same training, beside `within_bytes`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.api import compress
from laconic.csteps.parametrisations import Plain
from laconic.errors import DataError, LaconicError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.parametrisations.page import curve, page
from laconic.experiments.recipes.parametrisations.variants import Setting, settings_of
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.mnist import LENET5, LENET300
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.subject import Effort, Subject
from laconic.experiments.recipes.resumed import telling
from laconic.format import container
from laconic.format.codes import Code
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.block_by_block import BlockByBlock
from laconic.lc.budgeted import notes_of
from laconic.lc.finetune import finetune
from laconic.models.checkpoints import checkpoint_size
from laconic.models.params import decompress
from laconic.quantize.budget import Budget
from laconic.result import Result
from laconic.teachers.distillation import alike
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

_SOURCE = (
    "Chen et al., hashing trick, ICML 2015; Oktay et al. (EPR), ICLR 2020; Havasi et al. (MIRACLE), ICLR 2019; "
    "Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021"
)

_SLACK = 16
"""Bytes left for what a deflated table grows by when other checksums are in it."""


@final
@dataclass(frozen=True)
class Trial:
    """A network and the bytes within which all variants are tried on it.

    Args:
        subject: of the records.
        maps: that its first fully connected layer reads, on MNIST and on digits.
        sizes: of files on MNIST: those of the records, and twice these.
        steps: of LC on MNIST, each one pass; the path of μ and of the learning rate is that of the records.
        tuned: epochs of fine-tuning.
    """

    subject: Subject
    maps: tuple[tuple[int, int], tuple[int, int]]
    sizes: tuple[int, ...]
    steps: int
    tuned: int

    def effort(self, there: bool, fast: bool) -> Effort:
        """Return what is run: with MNIST, or on digits; with ``fast`` of the smallest size alone."""
        full = self.subject.full if there else self.subject.small
        if full is None:
            raise DataError(
                f"{self.subject.net} needs MNIST, for digits of 8 x 8 are too small for it: give --data-dir"
            )
        steps = self.steps if there else 8
        times = full.learning.steps / steps  # the path of μ is the same, in fewer steps
        how = replace(
            full.learning, steps=steps, growth=full.learning.growth**times, decay=full.learning.decay**times,
            parametrisation=Plain(),  # each row has its own
            finetune=replace(full.learning.finetune, epochs=self.tuned if there else 3),
        )  # fmt: skip
        sizes = self.sizes if there else full.sizes[-1:]
        return replace(full, sizes=sizes[-1:] if fast else sizes, learning=how, seeds=1)


TRIALS = {
    "lenet300": Trial(LENET300, ((28, 28), (8, 8)), (20_000, 10_000, 5_000), 60, 8),
    "lenet5": Trial(LENET5, ((4, 4), (4, 4)), (6_000, 3_000, 1_500), 30, 5),
}
"""By the name of the network."""


def _run(names: Sequence[str], context: Context) -> Outcome:
    """Train, compress in every way, choose on validation, judge what is chosen."""
    there = holds(context.data_dir, "mnist", "train-images*")
    data = "mnist" if there else "digits"
    wanted = [name for name in names if there or TRIALS[name].subject.small or len(names) == 1]
    parts, pages, figures = dict[str, Any](), list[str](), dict[str, Any]()
    for number, name in enumerate(wanted):
        trial, part = TRIALS[name], context.part(number / len(wanted), (number + 1) / len(wanted))
        effort = trial.effort(there, context.fast)
        key = f"seed {context.seed}/{name}"
        task, params = prepared(trial.subject, data, effort, context.seed, key, part.part(0.0, 0.05))
        network = _Network(task, params, effort, context.seed, part.part(0.05, 1.0))
        settings = settings_of(name, trial.maps[0 if there else 1])
        rows = network.rows(settings)
        reference = network.reference()
        parts[name] = {"settings": effort.record(), "uncompressed": reference, "rows": rows}
        pages.append(page(name, data, effort, rows, reference, f"{name}.png"))
        figures[f"{name}.png"] = curve(name, data, rows, reference)
    record = {"recipe": "records-parametrisations", "source": _SOURCE, "data": data, "networks": parts}
    return Outcome(record, "\n".join(pages), figures)


@final
@dataclass(frozen=True, eq=False)
class _Network:
    """A reference in all its files.

    Args:
        task: what is trained and judged.
        params: the reference.
        effort: what is run.
        seed: of all runs.
        context: of its share of the work.
    """

    task: Task
    params: Mapping[str, Tensor]
    effort: Effort
    seed: int
    context: Context

    def reference(self) -> dict[str, float]:
        """Return the errors of the reference, in percent."""

        def compute() -> tuple[dict[str, float], dict[str, Tensor]]:
            splits = ("validation", "test")
            return {split: self.task.evaluate(self.params, split)["error"] for split in splits}, {}

        return dict(self.context.cache.point(f"seed {self.seed}/{self.task.metadata['net']}/uncompressed", compute)[0])

    def rows(self, settings: Sequence[Setting]) -> list[dict[str, Any]]:
        """Return a row of each setting and size; those that are chosen on validation have a test error."""
        rows, total = list[dict[str, Any]](), len(settings) * len(self.effort.sizes)
        for size in self.effort.sizes:
            own = list[dict[str, Any]]()
            for setting in settings:
                done = len(rows) + len(own)
                own.append(self._tried(setting, size, self.context.part(done / total, (done + 1) / total)))
            rows += [self._judged(row) if row in _chosen(own) else row for row in own]
        return rows

    def _tried(self, setting: Setting, size: int, context: Context) -> dict[str, Any]:
        """Return what LC makes of one setting within one size; computed once in the life of the folder."""
        label = f"{setting.variant}, {setting.label}, {size:,} B"

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            began, how = perf_counter(), replace(self.effort.learning, parametrisation=setting.parametrisation)
            how = replace(how, method="retrain", finetune=replace(how.finetune, epochs=0)) if setting.in_turn else how
            room = size - _SLACK if setting.in_turn else size
            try:
                plan = setting.plan(self.params, size, self._notes)
                result = compress(
                    self.params,
                    plan,
                    self.task,
                    "train",
                    size=room,
                    training=how,
                    seed=self.seed,
                    watch=telling(context, label, how),
                )
                codes = self._in_turn(result, size, context, label) if setting.in_turn else result.codes
            except LaconicError as error:
                return {"reason": str(error)}, {}
            file = container.dumps(codes, result.metadata)
            if len(file) > size:
                return {"reason": f"the file has {len(file):,} bytes"}, {}
            validation = self.task.evaluate(decompress(codes), "validation")["error"]
            path = [[at.step, at.gap, *(at.validation or {}).values()] for at in result.history]
            figures = {
                "bytes": len(file), "validation": validation, "seconds": round(perf_counter() - began, 1), "path": path,
            }  # fmt: skip
            return figures, {"file": torch.from_numpy(np.frombuffer(file, np.uint8).copy())}

        figures, _ = self.context.cache.point(self._key(setting.variant, setting.label, size), compute)
        return {"variant": setting.variant, "setting": setting.label, "size": size, **figures}

    def _in_turn(self, direct: Result, size: int, context: Context, label: str) -> Mapping[str, Code]:
        """Return the codes whose blocks are encoded in turn, in as many epochs as LC has, and tuned where that fits."""
        learning = self.effort.learning
        epochs = learning.steps * learning.within(self.task, Budget(size=size)).l_step.epochs
        task = alike(self.task, self.params, learning.alike)
        encoder = BlockByBlock(task, self.params, direct.codes)
        for stage in encoder.stages(Optimization(epochs, 2e-3, _falling, optimizer=adam), self.seed):
            context.say(stage.epoch / (epochs + 1), f"{label}: {stage.share:.1%} encoded, loss {stage.loss:.4f}")
        codes = encoder.codes()
        tuned = finetune(task, codes, learning.finetune, self.seed)
        errors = [self.task.evaluate(decompress(one), "validation")["error"] for one in (tuned, codes)]
        fits = len(container.dumps(tuned, direct.metadata)) <= size
        return tuned if fits and errors[0] <= errors[1] else codes

    def _judged(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a chosen row with its error on the test images, which are read for it once."""
        key = self._key(row["variant"], row["setting"], row["size"])

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            file = self.context.cache.point(key, _missing)[1]["file"]
            params = decompress(container.loads(file.numpy().tobytes()).codes)
            return {"test": self.task.evaluate(params, "test")["error"]}, {}

        return {**row, **self.context.cache.point(f"{key}/test", compute)[0]}

    def _key(self, variant: str, label: str, size: int) -> str:
        """Return the name of a row in the cache."""
        return f"seed {self.seed}/{self.task.metadata['net']}/{variant}/{label}/{size}"

    @property
    def _notes(self) -> dict[str, str]:
        """The text that files have."""
        return notes_of(self.task, {REFERENCE_BYTES: str(checkpoint_size(self.params))})


def _falling(progress: float) -> float:
    """Return the factor of the learning rate: it falls to a tenth, and not to 0, for what is left has to make good."""
    return float(0.1**progress)


def _missing() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Say that a row that was tried is not in the cache."""
    raise AssertionError("a row is judged after it was tried")


def _chosen(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return of each variant the row of the least validation error, the first of equals; none where none was made."""
    written = [row for row in rows if "bytes" in row]
    variants = dict.fromkeys(row["variant"] for row in written)
    return [min((r for r in written if r["variant"] == v), key=lambda r: float(r["validation"])) for v in variants]


RECIPES = tuple(
    Recipe(
        f"records-parametrisations{suffix}",
        f"{title} of other parametrisations within the bytes of the records",
        _SOURCE,
        "mnist in --data-dir" + ("; runs on built-in digits without" if names[0] == "lenet300" else ""),
        time,
        partial(_run, names),
    )
    for suffix, names, title, time in (
        ("", tuple(TRIALS), "LeNet-300-100 and LeNet-5", "some ten hours on one core, a third with --fast"),
        ("-lenet300", ("lenet300",), "LeNet-300-100", "an hour and a half on one core, half an hour with --fast"),
        ("-lenet5", ("lenet5",), "LeNet-5", "some ten hours on one core, three with --fast"),
    )
)
