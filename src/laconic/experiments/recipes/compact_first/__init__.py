"""Compact, then compressed: MobileNetV2 and ResNet-20, trained alike, within the same bytes by the same means.

What is asked is whether a network that is small by design is the better thing to compress. Both are trained from fresh
weights on the same images, for the same epochs, by the same optimization; then each is compressed to the same sizes by
weights alone, by what layers read, and by LC. Errors are put beside bytes and beside multiply-adds.
"""

from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.api import compress
from laconic.errors import DataError, PlanError
from laconic.experiments.recipes.compact_first.page import NETS, WAYS, Row, figure, judged, page
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.network import for_rows
from laconic.experiments.recipes.records.running import resumed_within
from laconic.experiments.recipes.records.subject import Effort as Running
from laconic.experiments.recipes.records.subject import Subject
from laconic.experiments.recipes.reference import seconds_of
from laconic.experiments.recipes.resumed import telling
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models.counting import counted
from laconic.models.params import Params
from laconic.request import Effort
from laconic.training.batches import inputs_of
from laconic.training.clipping import SHARE
from laconic.training.folds import errors_of
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task

_SOURCE = (
    "Sandler et al., MobileNetV2, 2018; He et al., ResNet, 2016; LC within a size: the papers of Carreira-Perpiñán & "
    "Idelbayev, 2017 to 2021"
)
_SIZES = (200_000, 130_000, 100_000)
"""Bytes: of ResNet-20 about 6, 4 and 3 bits a weight, of MobileNetV2 2.3, 1.5 and 1.1: below, its norms fill a file."""

_BATCH = 128
"""Images in a batch while networks are trained; LC has its own."""

_SAMPLES = 640
"""Training images that calibration looks at, a fifth of them to judge by."""


def _learning(steps: int, epochs: int, tuned: int, growth: float) -> Training:
    """Return LC by SGD with clipped gradients."""
    tuning = replace(FINE_TUNING, epochs=tuned, lr=1e-3)
    learning = Optimization(epochs, 0.03, clip=SHARE)
    return Training(steps=steps, l_step=learning, growth=growth, finetune=tuning)


def _effort(reference: int, learning: Training, images: int | None, batch: int) -> Running:
    """Return the effort of both networks: nothing differs."""
    training = Optimization(reference, 0.1, cosine, weight_decay=1e-4)
    return Running(
        training, _SIZES, learning, 1, optimizer="SGD, Nesterov momentum 0.9, half a cosine", batch=batch,
        images=images, augment="crop and flip",
    )  # fmt: skip


_SMALL = _effort(30, _learning(8, 1, 2, 1.8), 10_000, batch=25)  # 400 batches of LC an epoch, as it wants
_FULL = _effort(200, _learning(40, 5, 20, 1.2), None, batch=128)


def _subject(net: str) -> Subject:
    """Return a network as `prepared` takes it."""
    return Subject(net, NETS[net], "cifar10", None, (), (), _FULL, _SMALL)


def _run(context: Context) -> Outcome:
    """Train, compress and judge."""
    if context.data_dir is None:
        raise DataError("compact-then-compress needs CIFAR-10: name the folder that holds cifar10/ by --data-dir DIR")
    full = (context.train or torch.cuda.is_available()) and not context.fast
    effort = _FULL if full else _SMALL
    sizes = effort.sizes[1:2] if context.fast else effort.sizes
    rows = list[Row]()
    for number, net in enumerate(NETS):
        part = context.part(number / len(NETS), (number + 1) / len(NETS))
        training, of = replace(effort, batch=_BATCH), (_subject(net), "cifar10")
        task, params = for_rows(*of, training, effort, context.seed, net, part.part(0.0, 0.45))
        one = _Network(net, task, params, effort, part)
        rows.append(one.row("as trained", None, partial(_as_it_is, params)))
        runs = [(way, size) for size in sizes for way in WAYS]
        for at, (way, size) in enumerate(runs):
            own = replace(one, context=part.part(0.45 + 0.55 * at / len(runs), 0.45 + 0.55 * (at + 1) / len(runs)))
            rows.append(own.row(way, size, partial(own.compressed, way, size)))
    verdicts, scale = judged(rows, context.seed), "full" if full else "small"
    record = {
        "recipe": "compact-then-compress", "source": _SOURCE, "networks": list(NETS), "data": "cifar10",
        "scale": scale, "settings": effort.record(), "threads": torch.get_num_threads(),
        "training, seconds": {net: seconds_of(context, net) for net in NETS},
        "rows": [row.record() for row in rows], "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(rows, verdicts, effort.record(), scale), {"compact-first.png": figure(rows)})


def _as_it_is(params: Params) -> tuple[Params, dict[str, Any]]:
    """Return a network as it was trained."""
    return params, {}


@final
@dataclass(frozen=True, eq=False)
class _Network:
    """A trained network.

    Args:
        net: its name.
        task: what it is trained and judged by.
        params: trained weights.
        effort: what is run.
        context: of its share of the work.
    """

    net: str
    task: Task
    params: Params
    effort: Running
    context: Context

    def row(self, way: str, size: int | None, make: Any) -> Row:
        """Return a row: what ``make`` gives, judged on the test images this once."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            began = perf_counter()
            params, figures = make()
            told = {**figures, "multiply-adds": self._multiply_adds(), "seconds": round(perf_counter() - began, 1)}
            if params is None:
                return told, {}
            return told, {"wrong": torch.from_numpy(errors_of(self.task, params, "test").astype(np.uint8))}

        label = f"{self.net}/{way}/{size or 'whole'}"
        figures, tensors = self.context.cache.point(label, compute)
        wrong = (tensors["wrong"].numpy() > 0).astype(np.float64) if "wrong" in tensors else None
        return Row(self.net, way, size, figures, wrong)

    def compressed(self, way: str, size: int) -> tuple[Params | None, dict[str, Any]]:
        """Return the network within a size, or why there is none."""
        label = f"{NETS[self.net]}, {way}, {size:,} B"
        self.context.say(0.0, label)
        checkpoint = self.context.cache.path(f"{self.net}/{way}/{size}/state")
        try:
            if way == "LC":
                watch = telling(self.context, label, self.effort.learning)
                of = size, self.params, self.task, self.effort, self.context.seed, checkpoint, watch
                result = resumed_within(*of)
                checkpoint.unlink(missing_ok=True)
            else:
                effort: Effort = "calibrate" if way == "calibrate" else "direct"
                looked = _SAMPLES if way == "calibrate" else None
                seed = self.context.seed
                result = compress(self.params, task=self.task, effort=effort, size=size, samples=looked, seed=seed)
        except PlanError as error:
            return None, {"why not": str(error)}
        return result.params, {"bytes": result.file_bytes}

    def _multiply_adds(self) -> int:
        """Return the multiply-adds of one image."""
        image = inputs_of(next(self.task.batches("validation", 0)))[:1]
        with torch.no_grad():
            return int(counted(self.task.module.eval(), lambda: self.task.module(image), 1).multiply_adds)


RECIPES = (
    Recipe(
        "compact-then-compress",
        "MobileNetV2 (width 0.5) and ResNet-20, trained alike, within the same bytes: is compact the better beginning?",
        _SOURCE,
        "cifar10 in --data-dir",
        "two and a half to five hours on one core (--fast: half of it); days with --train, or a GPU",
        _run,
    ),
)
