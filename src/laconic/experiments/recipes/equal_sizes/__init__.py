"""Every technique of `laconic.plans.techniques` on a network, at the same sizes of files, direct and by LC."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

from laconic.experiments.recipes.equal_sizes import claims, kernels, kmeans_starts
from laconic.experiments.recipes.equal_sizes.figure import curves
from laconic.experiments.recipes.equal_sizes.page import page
from laconic.experiments.recipes.equal_sizes.rows import measure
from laconic.experiments.recipes.equal_sizes.settings import CHOSEN, COMPARED, Setting
from laconic.experiments.recipes.equal_sizes.subject import Subject, prepare
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.statement import percent

_SOURCE = (
    "Han, Mao & Dally, Deep Compression, ICLR 2016; Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021; "
    "Gao, Liu, Wang & Oh, Rate distortion for model compression, ICML 2019"
)


@final
@dataclass(frozen=True)
class _Table:
    """What one recipe of this room compares.

    Args:
        name: of the recipe.
        prepare: gives the network.
        settings: gives the settings.
        contests: what is judged.
        fast: labels for which LC is run with --fast.
    """

    name: str
    prepare: Callable[[Context], Subject]
    settings: Callable[[], tuple[Setting, ...]]
    contests: tuple[claims.Contest, ...]
    fast: frozenset[str]

    def run(self, context: Context) -> Outcome:
        """Measure everything and judge every statement."""
        network, settings = self.prepare(context), self.settings()
        _, tensors = network.context.cache.point(
            "uncompressed", lambda: ({}, sample_by_sample(network.task, network.params, "test"))
        )
        reference = percent(tensors["errors"].double().numpy())
        share = 0.95 if network.effort.values else 1.0
        rows = measure(network.part(0.0, share), settings, self._trained(context.fast))
        kmeans = kmeans_starts.compare(network.part(share, 1.0))
        judged = [
            *claims.contests(rows, context.seed, self.contests),
            *claims.starts(kmeans, context.seed),
            *claims.last_layer(rows),
        ]
        figure = f"{self.name}.png"
        record = {
            "recipe": self.name,
            "source": _SOURCE,
            "network": network.label,
            "note": network.note,
            "settings": network.effort.record(),
            "uncompressed": {"error": reference},
            "rows": [row.record() for row in rows],
            "starts": [start.record() for start in kmeans],
            "verdicts": [one.record() for one in judged],
        }
        shown = page(network, reference, rows, kmeans, judged, figure)
        return Outcome(record, shown, {figure: curves(rows, reference, network.label)})

    def _trained(self, fast: bool) -> Callable[[Setting], bool]:
        """Return which settings LC is run for."""
        return lambda setting: not fast or setting.label in self.fast


def _kernels() -> tuple[Setting, ...]:
    """Return the settings that are compared on networks with kernels."""
    return tuple(setting for setting in COMPARED if setting.label in kernels.LABELS)


def _named(contests: tuple[claims.Contest, ...]) -> frozenset[str]:
    """Return whatever statements name one by one, and the choice among all."""
    few = [contest for contest in contests if contest not in (claims.CONTESTS[0], claims.CHOICE)]
    return frozenset((CHOSEN.label, *(label for contest in few for label in (*contest.better, *contest.worse))))


_OF_KERNELS = claims.measurable((*claims.CONTESTS[1:], *claims.KERNELS), kernels.LABELS)
_TABLES = (
    _Table("techniques", prepare, lambda: COMPARED, claims.CONTESTS, _named(claims.CONTESTS)),
    _Table("techniques-lenet5", kernels.lenet5, _kernels, _OF_KERNELS, _named(_OF_KERNELS)),
    _Table("techniques-resnet20", kernels.resnet20, _kernels, _OF_KERNELS, _named(_OF_KERNELS) | kernels.OF_KERNELS),
)
_SAID = (
    (
        "every technique on LeNet-300-100 at the same sizes of files, direct and LC",
        "mnist and models/lenet300_mnist.safetensors in --data-dir; runs on built-in digits without",
        "45 minutes on one core, 6 with --fast",
    ),
    (
        "what is for kernels on LeNet-5 at the same sizes of files, direct and LC",
        "mnist and models/lenet5_mnist.safetensors in --data-dir",
        "20 minutes on one core, 5 with --fast",
    ),
    (
        "what is for kernels on ResNet-20 at the same sizes of files, direct and LC",
        "cifar10 and models/resnet20_cifar10.safetensors in --data-dir",
        "half a day on one core, two hours with --fast; in full, with a GPU or --train, days",
    ),
)

RECIPES = tuple(
    Recipe(table.name, summary, _SOURCE, needs, time, partial(_Table.run, table))
    for table, (summary, needs, time) in zip(_TABLES, _SAID, strict=True)
)
