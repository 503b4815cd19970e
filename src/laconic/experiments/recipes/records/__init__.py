"""The smallest files of well-known networks: LC within a size, beside the best that has been published."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, final

from torch import Tensor

from laconic.api import compress
from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.network import prepared
from laconic.experiments.recipes.records.page import curve, page
from laconic.experiments.recipes.records.subject import LENET5, LENET300, Effort, Subject
from laconic.lc.state import LCState
from laconic.training.task import Task

_SOURCE = (
    "Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021; Oktay et al. (EPR), ICLR 2020; "
    "Havasi et al. (MIRACLE), ICLR 2019"
)
_FIGURE = "records.png"


def _run(subject: Subject, context: Context) -> Outcome:
    """Train, compress and judge, seed by seed."""
    there = holds(context.data_dir, "mnist", "train-images*")
    effort, name = (subject.full, "mnist") if there else (subject.small, "digits")
    if effort is None:
        raise DataError(f"records-{subject.net} needs MNIST, for digits of 8 x 8 are too small for it: give --data-dir")
    seeds = range(context.seed, context.seed + (1 if context.fast else effort.seeds))
    rows = list[dict[str, Any]]()
    for number, seed in enumerate(seeds):
        part = context.part(number / len(seeds), (number + 1) / len(seeds))
        rows += _of_seed(subject, effort, name, seed, part)
    record = {
        "recipe": f"records-{subject.net}", "source": _SOURCE, "network": f"{subject.net} {name}",
        "settings": effort.record(), "rows": rows, "published": [vars(one) for one in subject.published],
        "aims": [{"bytes": size, "error": error} for size, error in subject.aims],
    }  # fmt: skip
    return Outcome(record, page(subject, name, effort, rows, _FIGURE), {_FIGURE: curve(subject, name, rows)})


def _of_seed(subject: Subject, effort: Effort, name: str, seed: int, context: Context) -> list[dict[str, Any]]:
    """Return the rows of one seed: the reference, and a file of each size."""
    task, params = prepared(subject, name, effort.reference, seed, f"seed {seed}", context.part(0.0, 0.1))
    one = _Seed(task, seed, context)
    rows = [one.row("uncompressed", lambda: (params, {}))]
    sizes = effort.sizes[-1:] if context.fast else effort.sizes
    for place, size in enumerate(sizes):
        run = one.part(0.1 + 0.9 * place / len(sizes), 0.1 + 0.9 * (place + 1) / len(sizes))
        rows.append(run.row(f"{size} bytes", partial(run.compressed, params, size, effort)))
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
        steps = effort.learning.steps

        def watch(state: LCState) -> None:
            at = state.progress
            error = (at.validation or {}).get("error", float("nan"))
            self.context.say(at.step / (steps + 1), f"seed {self.seed}, {size:,} B: step {at.step}, {error:.2f} %")

        began = perf_counter()
        result = compress(
            params, size=size, task=self.task, effort="train", training=effort.learning, seed=self.seed, watch=watch
        )
        path = [
            {"step": at.step, "mu": at.mu, "gap": at.gap, "bytes": at.file_bytes, **(at.validation or {})}
            for at in result.history
        ]
        return result.params, {
            "size": size, "bytes": result.file_bytes, "seconds": round(perf_counter() - began, 1), "path": path,
        }  # fmt: skip


RECIPES = tuple(
    Recipe(
        f"records-{subject.net}",
        f"the smallest files of {title} on MNIST, beside the best published ones",
        _SOURCE,
        "mnist in --data-dir" + ("; runs on built-in digits without" if subject.small else ""),
        time,
        partial(_run, subject),
    )
    for subject, title, time in (
        (LENET300, "LeNet-300-100", "half an hour on two cores, 5 minutes with --fast"),
        (LENET5, "LeNet-5", "three hours on two cores, half an hour with --fast"),
    )
)
