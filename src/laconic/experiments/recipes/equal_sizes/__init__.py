"""Every technique of `laconic.plans.techniques` on one network, at the same sizes of files, direct and by LC."""

from collections.abc import Callable

from laconic.experiments.recipes.equal_sizes import claims, kmeans_starts
from laconic.experiments.recipes.equal_sizes.figure import curves
from laconic.experiments.recipes.equal_sizes.measurements import measure
from laconic.experiments.recipes.equal_sizes.page import page
from laconic.experiments.recipes.equal_sizes.settings import SETTINGS, Setting
from laconic.experiments.recipes.equal_sizes.subject import prepare
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.statement import percent

_SOURCE = (
    "Han, Mao & Dally, Deep Compression, ICLR 2016; Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021; "
    "Gao, Liu, Wang & Oh, Rate distortion for model compression, ICML 2019"
)
_FIGURE = "techniques.png"
_FAST = frozenset(label for contest in claims.CONTESTS[1:] for label in (*contest.better, *contest.worse))
"""What LC is run for with --fast: whatever statements name one by one."""


def _run(context: Context) -> Outcome:
    """Measure everything and judge every statement."""
    network = prepare(context)
    _, tensors = network.context.cache.point(
        "uncompressed", lambda: ({}, sample_by_sample(network.task, network.params, "test"))
    )
    reference = percent(tensors["errors"].double().numpy())
    rows = measure(network.part(0.0, 0.95), SETTINGS, _learned(context.fast))
    kmeans = kmeans_starts.compare(network.part(0.95, 1.0))
    judged = [
        *claims.contests(rows, context.seed),
        *claims.starts(kmeans, context.seed),
        *claims.last_layer(rows),
    ]
    record = {
        "recipe": "techniques",
        "source": _SOURCE,
        "network": network.label,
        "note": network.note,
        "settings": network.effort.record(),
        "uncompressed": {"error": reference},
        "rows": [row.record() for row in rows],
        "starts": [start.record() for start in kmeans],
        "verdicts": [one.record() for one in judged],
    }
    shown = page(network, reference, rows, kmeans, judged, _FIGURE)
    return Outcome(record, shown, {_FIGURE: curves(rows, reference, network.label)})


def _learned(fast: bool) -> Callable[[Setting], bool]:
    """Return which settings LC is run for."""
    return lambda setting: not fast or setting.label in _FAST


RECIPES = (
    Recipe(
        "techniques",
        "every technique on LeNet-300-100 at the same sizes of files, direct and LC",
        _SOURCE,
        "mnist and models/lenet300_mnist.safetensors in --data-dir; runs on built-in digits without",
        "35 minutes on one core, 5 with --fast",
        _run,
    ),
)
