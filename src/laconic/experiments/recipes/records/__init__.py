"""The smallest files of well-known networks: LC within a size, beside the best that has been published."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, final

import torch
from torch import Tensor

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.cifar import RESNET20, VGG16
from laconic.experiments.recipes.records.mnist import LENET5, LENET300
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.page import curve, page
from laconic.experiments.recipes.records.running import resumed_within
from laconic.experiments.recipes.records.subject import Effort, Subject
from laconic.experiments.recipes.resumed import telling
from laconic.training.task import Task

_SOURCE = (
    "Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021; Oktay et al. (EPR), ICLR 2020; "
    "Havasi et al. (MIRACLE), ICLR 2019; Girish et al. (LilNetX), ICLR 2023"
)
_FIGURE = "records.png"


def _run(subject: Subject, context: Context) -> Outcome:
    """Train, compress and judge, seed by seed."""
    effort, name = _chosen(subject, context)
    seeds = range(context.seed, context.seed + (1 if context.fast else effort.seeds))
    rows = list[dict[str, Any]]()
    for number, seed in enumerate(seeds):
        part = context.part(number / len(seeds), (number + 1) / len(seeds))
        rows += _of_seed(subject, effort, name, seed, part)
    record = {
        "recipe": f"records-{subject.net}", "source": _SOURCE, "network": f"{subject.net} {name}",
        "scale": "full" if effort is subject.full else "small",
        "settings": effort.record(), "rows": rows, "published": [vars(one) for one in subject.published],
        "aims": [{"bytes": size, "error": error} for size, error in subject.aims],
    }  # fmt: skip
    return Outcome(record, page(subject, name, effort, rows, _FIGURE), {_FIGURE: curve(subject, name, rows)})


def _chosen(subject: Subject, context: Context) -> tuple[Effort, str]:
    """Return what is run, and on which data.

    Raises:
        DataError: when data are missing that nothing stands in for; it says what to give.
    """
    if subject.data == "mnist":
        if holds(context.data_dir, "mnist", "train-images*"):
            return subject.full, "mnist"
        if subject.small is None:
            raise DataError(
                f"records-{subject.net} needs MNIST, for digits of 8 x 8 are too small for it: give --data-dir"
            )
        return subject.small, "digits"
    if context.data_dir is None:
        needs = f"records-{subject.net} needs CIFAR-10" + (f" and {subject.weights}" if subject.weights else "")
        raise DataError(f"{needs}: name the folder that holds cifar10/ by --data-dir DIR")
    in_earnest = context.train or torch.cuda.is_available()
    return subject.full if in_earnest or subject.small is None else subject.small, subject.data


def _of_seed(subject: Subject, effort: Effort, name: str, seed: int, context: Context) -> list[dict[str, Any]]:
    """Return the rows of one seed: the reference, and a file of each size."""
    task, params = prepared(subject, name, effort, seed, f"seed {seed}", context.part(0.0, 0.1))
    one = _Seed(task, seed, context)
    rows = [one.row("uncompressed", lambda: (params, {}))]
    sizes = effort.sizes[-1:] if context.fast else effort.sizes
    for place, size in enumerate(sizes):
        run = one.part(0.1 + 0.9 * place / len(sizes), 0.1 + 0.9 * (place + 1) / len(sizes))
        rows.append(run.row(f"{size} bytes", partial(run.compressed, params, size, effort)))
        run.checkpoint(size).unlink(missing_ok=True)  # its row is kept
    return rows


@final
@dataclass(frozen=True, eq=False)
class _Seed:
    """The runs of one seed.

    Args:
        task: what is trained and judged.
        seed: of reference and LC.
        context: of its share of the work.
    """

    task: Task
    seed: int
    context: Context

    def part(self, start: float, stop: float) -> "_Seed":
        """Return the same for a part of the work."""
        return _Seed(self.task, self.seed, self.context.part(start, stop))

    def checkpoint(self, size: int) -> Any:
        """Return the path of the state of LC within ``size`` bytes."""
        return self.context.cache.path(f"seed {self.seed}/{size} bytes/state")

    def row(self, label: str, make: Any) -> dict[str, Any]:
        """Return a row: what ``make`` gives, judged on validation and, this once, on test images."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            params, figures = make()
            judged = {split: self.task.evaluate(params, split) for split in ("validation", "test")}
            return {**figures, **judged}, {}

        figures, _ = self.context.cache.point(f"seed {self.seed}/{label}", compute)
        return {"seed": self.seed, "label": label, **figures}

    def compressed(
        self, params: Mapping[str, Tensor], size: int, effort: Effort
    ) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
        """Return the network within ``size`` bytes, and how it came about."""
        watch = telling(self.context, f"seed {self.seed}, {size:,} B", effort.learning)
        began = perf_counter()
        result = resumed_within(size, params, self.task, effort, self.seed, self.checkpoint(size), watch)
        path = [
            {"step": at.step, "mu": at.mu, "gap": at.gap, "bytes": at.file_bytes, **(at.validation or {})}
            for at in result.history
        ]
        return result.params, {
            "size": size, "bytes": result.file_bytes, "seconds": round(perf_counter() - began, 1),
            "constant norms": len(result.norms.norms) if result.norms else 0, "path": path,
            "calibrated": result.history[0].calibrated,
        }  # fmt: skip


_MNIST, _CIFAR = "mnist in --data-dir", "cifar10 in --data-dir"
_ON = {"mnist": "MNIST", "cifar10": "CIFAR-10"}

RECIPES = tuple(
    Recipe(
        f"records-{subject.net}",
        f"the smallest files of {subject.title} on {_ON[subject.data]}, beside the best published ones",
        _SOURCE,
        needs,
        time,
        partial(_run, subject),
    )
    for subject, needs, time in (
        (LENET300, f"{_MNIST}; runs on built-in digits without", "half an hour on two cores, 5 minutes with --fast"),
        (LENET5, _MNIST, "three hours on one core, half an hour with --fast"),
        (
            RESNET20,
            f"{_CIFAR}, and {RESNET20.weights} there",
            "two and a half hours on one core (--fast: half); days with a GPU",
        ),
        (VGG16, _CIFAR, "three hours on one core; days with a GPU, or --train"),
    )
)
