"""ResNet-20 with fewer channels: LC chooses which, they are cut out, and the whole network teaches what is left."""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.csteps.groups import Groups
from laconic.csteps.keep_groups import KeepGroups
from laconic.deploy.edits import METADATA, loads
from laconic.deploy.narrowing import narrow
from laconic.deploy.timing import timed
from laconic.errors import DataError
from laconic.experiments.recipes.narrower.page import Row, figure, judged, page
from laconic.experiments.recipes.onnx_times import runner as _runner
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.cifar import RESNET20
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.subject import Effort as Reading
from laconic.experiments.recipes.reference import trained
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models import nets
from laconic.models.params import Params, apply_to, decompress
from laconic.plans.coupling import coupled
from laconic.plans.plan import Plan
from laconic.teachers.distillation import distilled
from laconic.teachers.softening import Distillation
from laconic.teachers.teacher import Teacher
from laconic.training.batches import inputs_of
from laconic.training.clipping import SHARE
from laconic.training.folds import errors_of
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task

_SOURCE = (
    "Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021; Hinton, Vinyals & Dean, distillation, 2015; channels "
    "that go together: Fang et al., DepGraph, CVPR 2023"
)
_SAMPLES, _SECONDS = (1, 32), 4.0
"""At a time, and for how long they are timed."""

_TEACHING = Distillation()


@final
@dataclass(frozen=True)
class Effort:
    """How long channels are chosen, and what is left is taught.

    Args:
        choosing: LC.
        teaching: epochs of what is left.
        images: training images of an epoch; None for all.
        batch: of them.
        validation: training images that are held out; as many as usual unless told.
        shares: of channels that stay.
        longer: (share, epochs) that are taught, too, to see what more teaching brings.
    """

    choosing: Training
    teaching: Optimization
    images: int | None
    batch: int = 128
    validation: int | None = None
    shares: tuple[float, ...] = (0.5, 0.75, 0.875)
    longer: tuple[tuple[float, int], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON says them."""
        lc, after = self.choosing, self.teaching
        return {
            "images an epoch": self.images or "all", "batch": self.batch,
            "LC": {"steps": lc.steps, "epochs a step": lc.l_step.epochs, "lr": lc.l_step.lr, "growth": lc.growth},
            "teaching": {
                "epochs": after.epochs, "lr": after.lr, "weight decay": after.weight_decay, "alpha": _TEACHING.alpha,
                "beta": _TEACHING.beta, "temperature": _TEACHING.temperature,
            },
        }  # fmt: skip


def _choosing(steps: int, epochs: int, growth: float) -> Training:
    """Return LC without fine-tuning: teaching follows."""
    none = replace(FINE_TUNING, epochs=0)
    return Training(steps=steps, l_step=Optimization(epochs, 0.03, clip=SHARE), growth=growth, finetune=none)


_SMALL = Effort(
    _choosing(10, 1, 1.6), Optimization(20, 0.05, cosine, weight_decay=1e-4), 10_000,
    longer=((0.875, 60), (0.5, 60)),
)  # fmt: skip
_FULL = Effort(_choosing(25, 5, 1.25), Optimization(200, 0.1, cosine, weight_decay=1e-4), None)


def _run(context: Context) -> Outcome:
    """Choose, cut, teach, time and judge at each share."""
    if context.data_dir is None:
        raise DataError(f"narrower-resnet20 needs CIFAR-10 and {RESNET20.weights} in a folder: give --data-dir DIR")
    full = (context.train or torch.cuda.is_available()) and not context.fast
    effort = _FULL if full else _SMALL
    shares = effort.shares[:1] if context.fast else effort.shares
    reading = Reading(
        None, (), effort.choosing, 1, images=effort.images, batch=effort.batch, augment=RESNET20.full.augment,
        validation=effort.validation,
    )  # fmt: skip
    task, params = prepared(RESNET20, RESNET20.data, reading, context.seed, "reference", context)
    apply_to(task.module, params)
    whole = _Whole(task, params, effort, context)
    rows = [whole.reference()]
    runs = [*((share, effort.teaching.epochs) for share in shares), *(() if context.fast else effort.longer)]
    for number, (share, epochs) in enumerate(runs):
        part = context.part(number / len(runs), (number + 1) / len(runs))
        rows.append(replace(whole, context=part).narrowed(share, epochs))
    rows, longer = rows[: 1 + len(shares)], rows[1 + len(shares) :]
    verdicts = judged(rows, context.seed)
    scale = "full" if full else "small"
    record = {
        "recipe": "narrower-resnet20", "source": _SOURCE, "network": "resnet20 cifar10", "scale": scale,
        "settings": effort.record(), "threads": torch.get_num_threads(), "rows": [row.record() for row in rows],
        "taught longer": [row.record() for row in longer], "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(rows, longer, verdicts, effort.record(), scale), {"narrower.png": figure(rows)})


@final
@dataclass(frozen=True, eq=False)
class _Whole:
    """The network before.

    Args:
        task: its module has its weights.
        params: these.
        effort: what is run.
        context: of its share of the work.
    """

    task: Task
    params: Params
    effort: Effort
    context: Context

    def reference(self) -> Row:
        """Return its own row."""
        figures, tensors = self.context.cache.point("whole", lambda: self._judged(self.task, self.params))
        return Row.of("whole", 1.0, figures, tensors)

    def narrowed(self, share: float, epochs: int) -> Row:
        """Return the row of the network in which a share of the channels stays, taught for so many epochs."""
        label, teaching = f"{share:g} of the channels", replace(self.effort.teaching, epochs=epochs)
        chosen, tensors = self.context.cache.point(f"{label}/chosen", lambda: self._chosen(share, label))
        module = narrow(self._fresh(), loads(chosen["edits"]))
        apply_to(module, tensors)
        teacher = Teacher(self._fresh(), name="the whole network")
        small = replace(self.task, module=module)
        part, name = self.context.part(1 / 3, 0.97), label
        if epochs != self.effort.teaching.epochs:
            part, name = self.context, f"{label}, {epochs} epochs"
        weights = trained(part, name, distilled(small, teacher, _TEACHING), teaching)
        figures, wrong = self.context.cache.point(f"{name}/judged", lambda: self._judged(small, weights))
        return Row.of(name, share, {**chosen, **figures, "epochs": epochs}, wrong)

    def _chosen(self, share: float, label: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return by LC what stays, cut out of the rest."""
        example = inputs_of(next(self.task.batches("validation", 0)))[:2]
        row = KeepGroups(Groups("filters"), keep=share)
        plan = coupled(Plan({"*conv*.weight": row}), self.task.module, example)
        watch = telling(self.context.part(0.0, 1 / 3), label, self.effort.choosing)
        checkpoint = self.context.cache.path(f"{label}/state")
        job = {"recipe": "narrower-resnet20", "share": f"{share:g}"}
        result = resumed(self.params, plan, self.task, self.effort.choosing, self.context.seed, checkpoint, job, watch)
        small = result.shrink(self.task.module, example)
        checkpoint.unlink(missing_ok=True)
        assert small.shrunk is not None, "or it had failed"
        before, after = (number // len(example) for number in small.shrunk.multiply_adds)
        error = result.evaluate(self.task, split="test")["error"]
        moved = [at.changed for at in result.history]
        figures = {
            "multiply-adds before": before, "multiply-adds": after, "error as it is cut": error, "moved": moved,
            "edits": small.metadata[METADATA],
        }  # fmt: skip
        return figures, dict(decompress(small.codes))

    def _judged(self, task: Task, weights: Params) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return times beside those of the whole network, and which test images are taken for something else."""
        wrong = torch.from_numpy(errors_of(task, weights, "test").astype(np.uint8))
        apply_to(task.module, weights)
        images = inputs_of(next(self.task.batches("test", 0))).cpu()
        modules, times = {"whole": self._fresh(), "small": task.module}, dict[str, dict[str, float]]()
        for count in _SAMPLES:
            took = timed({name: _runner(one, images[:count]) for name, one in modules.items()}, _SECONDS)
            ms = [took[name].milliseconds for name in modules]
            times[str(count)] = {"ms whole": ms[0], "ms": ms[1], "times faster": took["small"].ratio}
        parameters = sum(tensor.numel() for tensor in task.module.parameters())
        return {"parameters": parameters, "times": times}, {"wrong": wrong}

    def _fresh(self) -> nn.Module:
        """Return another module of the same class with the weights of the whole network."""
        module = nets.build(RESNET20.net, (3, 32, 32), 10, 0).to(next(self.task.module.parameters()).device)
        apply_to(module, self.params)
        return module


RECIPES = (
    Recipe(
        "narrower-resnet20",
        "ResNet-20 with fewer channels: error and time, each taught by the whole network",
        _SOURCE,
        f"cifar10 in --data-dir, and {RESNET20.weights} there",
        "an hour and a half on one core (--fast: 10 minutes); hours with a GPU, or --train",
        _run,
    ),
)
