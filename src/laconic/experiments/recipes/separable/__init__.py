"""ResNet-20 rewritten as depthwise-separable, beside the same network shrunk to as many multiply-adds.

Both are taught by the whole network for the same epochs. The separable one begins where least squares leave it; of the
shrunk one LC has chosen the channels before, over as many epochs as the longest teaching has, which are not counted.
"""

from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.api import compress
from laconic.csteps.groups import Groups
from laconic.csteps.keep_groups import KeepGroups
from laconic.deploy.edits import METADATA, edits_of, loads
from laconic.deploy.narrowing import narrow
from laconic.deploy.rewriting import edits_in, rewrite
from laconic.errors import DataError
from laconic.experiments.recipes.onnx_times import milliseconds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.cifar import RESNET20
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.subject import Effort as Reading
from laconic.experiments.recipes.reference import trained
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.experiments.recipes.separable.page import Row, figure, judged, page
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models import nets
from laconic.models.counting import counted
from laconic.models.params import Params, apply_to, decompress, params_of
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
    "Howard et al., MobileNets, 2017 (depthwise-separable layers); Hinton, Vinyals & Dean, distillation, 2015; the LC "
    "papers of Carreira-Perpiñán & Idelbayev, 2017 to 2021"
)
_LAYERS = "layer*.conv*"
"""What becomes separable: all but the first convolution, as in MobileNet."""

_SAMPLES, _SECONDS = (1, 32), 4.0
"""Images at a time, and for how long they are timed."""

_TEACHING = Distillation()
_STEP = 1 / 64
"""Between the shares of channels that are tried for as many multiply-adds."""


@final
@dataclass(frozen=True)
class Effort:
    """How long networks are taught.

    Args:
        epochs: of teaching, each a run of its own.
        teaching: its optimization.
        choosing: LC, which chooses channels.
        images: training images of an epoch; None for all.
        batch: of them.
        validation: training images that are held out; as many as usual unless told.
        samples: training images that rewriting looks at.
    """

    epochs: tuple[int, ...] = (0, 1, 5, 10)
    teaching: Optimization = field(default_factory=lambda: Optimization(1, 0.05, cosine, weight_decay=1e-4))
    choosing: Training = field(
        default_factory=lambda: Training(
            steps=10, l_step=Optimization(1, 0.03, clip=SHARE), growth=1.6, finetune=replace(FINE_TUNING, epochs=0)
        )
    )
    images: int | None = 10_000
    batch: int = 128
    validation: int | None = None
    samples: int = 512

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON says them."""
        after, lc = self.teaching, self.choosing
        return {
            "images an epoch": self.images or "all", "batch": self.batch, "images for least squares": self.samples,
            "teaching": {"lr": after.lr, "weight decay": after.weight_decay, "alpha": _TEACHING.alpha,
                         "beta": _TEACHING.beta, "temperature": _TEACHING.temperature},
            "LC that chooses channels": {"steps": lc.steps, "epochs a step": lc.l_step.epochs, "lr": lc.l_step.lr},
        }  # fmt: skip


_SMALL = Effort()
_FULL = Effort((0, 1, 5, 10, 200), images=None)


def _run(context: Context) -> Outcome:
    """Rewrite, shrink, teach, time and judge."""
    if context.data_dir is None:
        raise DataError(f"separable-resnet20 needs CIFAR-10 and {RESNET20.weights} in a folder: give --data-dir DIR")
    full = (context.train or torch.cuda.is_available()) and not context.fast
    effort = _FULL if full else _SMALL
    epochs = effort.epochs[:2] if context.fast else effort.epochs
    reading = Reading(
        None, (), effort.choosing, 1, images=effort.images, batch=effort.batch, augment=RESNET20.full.augment,
        validation=effort.validation,
    )  # fmt: skip
    task, params = prepared(RESNET20, RESNET20.data, reading, context.seed, "reference", context)
    apply_to(task.module, params)
    whole = _Whole(task, params, effort, context)
    rows = [whole.judged("whole", 0, task.module, params)]
    kinds = {"separable": whole.separable(), "shrunk": whole.shrunk()}
    runs = [(kind, count) for kind in kinds for count in epochs]
    work, done = sum(count + 1 for _, count in runs), 0
    for kind, count in runs:
        part = context.part(0.3 + 0.7 * done / work, 0.3 + 0.7 * (done + count + 1) / work)
        rows.append(replace(whole, context=part).taught(kind, *kinds[kind], count))
        done += count + 1
    verdicts, scale = judged(rows, context.seed), "full" if full else "small"
    record = {
        "recipe": "separable-resnet20", "source": _SOURCE, "network": "resnet20 cifar10", "scale": scale,
        "settings": effort.record(), "threads": torch.get_num_threads(), "rows": [row.record() for row in rows],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, page(rows, verdicts, effort.record(), scale), {"separable.png": figure(rows)})


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

    def separable(self) -> tuple[str, Params]:
        """Return what was rewritten, as JSON, and the weights that least squares give."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            self.context.say(0.0, "rewriting")
            count, seed = self.effort.samples, self.context.seed
            made = rewrite(self.task, separable=_LAYERS, pooled="", between="norm", samples=count, seed=seed)
            return {"edits": edits_in(made.module).dumps(), "error": made.error}, params_of(made.module)

        told, weights = self.context.cache.point("separable/begun", compute)
        return told["edits"], weights

    def shrunk(self) -> tuple[str, Params]:
        """Return by LC what stays of the channels at as many multiply-adds, as JSON, and its weights."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            plan = self._plan(self._share())
            watch = telling(self.context.part(0.05, 0.3), "choosing channels", self.effort.choosing)
            checkpoint, job = self.context.cache.path("shrunk/state"), {"recipe": "separable-resnet20"}
            of = self.params, plan, self.task, self.effort.choosing, self.context.seed, checkpoint, job, watch
            small = resumed(*of).shrink(self.task.module, self._example())
            checkpoint.unlink(missing_ok=True)
            return {"edits": small.metadata[METADATA]}, dict(decompress(small.codes))

        told, weights = self.context.cache.point("shrunk/begun", compute)
        return told["edits"], weights

    def _share(self) -> float:
        """Return the share of channels with which multiply-adds are next to those of the separable network."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            wanted = self._multiply_adds(narrow(self._fresh(), loads(self.separable()[0])))
            low, high = 1, int(1 / _STEP)
            found = dict[int, int]()
            while high - low > 1:  # multiply-adds grow with the share
                middle = (low + high) // 2
                found[middle] = self._at(middle * _STEP)
                low, high = (middle, high) if found[middle] <= wanted else (low, middle)
            best = min(found, key=lambda place: abs(found[place] - wanted))
            return {"share": best * _STEP, "multiply-adds": found[best], "wanted": wanted}, {}

        told, _ = self.context.cache.point("shrunk/share", compute)
        return float(told["share"])

    def _at(self, share: float) -> int:
        """Return the multiply-adds where a share of the channels stays, whichever these are."""
        masked = compress(self.params, self._plan(share), self.task, "direct")
        edits = edits_of(masked.shrink(self.task.module, self._example()).metadata)
        return self._multiply_adds(narrow(self._fresh(), edits))

    def _plan(self, share: float) -> Plan:
        """Return the plan that keeps a share of the channels."""
        return coupled(
            Plan({"*conv*.weight": KeepGroups(Groups("filters"), keep=share)}), self.task.module, self._example()
        )

    def taught(self, kind: str, edits: str, begun: Params, epochs: int) -> Row:
        """Return the row of a network that the whole one has taught for some epochs."""
        module, weights = narrow(self._fresh(), loads(edits)), begun
        apply_to(module, begun)
        if epochs:
            learning = distilled(replace(self.task, module=module), Teacher(self._fresh(), name="the whole"), _TEACHING)
            how = replace(self.effort.teaching, epochs=epochs)
            weights = trained(self.context, f"{kind}, {epochs} epochs", learning, how)
        return self.judged(kind, epochs, module, weights)

    def judged(self, kind: str, epochs: int, module: nn.Module, weights: Params) -> Row:
        """Return the row of a network, judged on the test images this once."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            task = replace(self.task, module=module)
            wrong = torch.from_numpy(errors_of(task, weights, "test").astype(np.uint8))
            apply_to(module, weights)
            images = inputs_of(next(self.task.batches("test", 0))).cpu()
            times = milliseconds({"whole": self._fresh(), kind: module}, images, _SAMPLES, _SECONDS)
            return {
                "multiply-adds": self._multiply_adds(module), "bytes": compress(module, Plan({})).file_bytes,
                "parameters": sum(tensor.numel() for tensor in module.parameters()), "ms": times,
            }, {"wrong": wrong}  # fmt: skip

        figures, tensors = self.context.cache.point(f"{kind}, {epochs} epochs/judged", compute)
        return Row(kind, epochs, figures, (tensors["wrong"].numpy() > 0).astype(np.float64))

    def _multiply_adds(self, module: nn.Module) -> int:
        """Return the multiply-adds of one image."""
        return int(counted(module, lambda: module(self._example()), 2).multiply_adds)

    def _example(self) -> Tensor:
        """Return two images."""
        images: Tensor = inputs_of(next(self.task.batches("validation", 0)))[:2]
        return images

    def _fresh(self) -> nn.Module:
        """Return another module of the same class with the weights of the whole network."""
        module = nets.build(RESNET20.net, (3, 32, 32), 10, 0).to(next(self.task.module.parameters()).device)
        apply_to(module, self.params)
        return module.eval()


RECIPES = (
    Recipe(
        "separable-resnet20",
        "ResNet-20 rewritten as depthwise-separable, beside the same network shrunk to as many multiply-adds",
        _SOURCE,
        f"cifar10 in --data-dir, and {RESNET20.weights} there",
        "half an hour to an hour on one core (--fast: half of it); days with --train, or a GPU",
        _run,
    ),
)
