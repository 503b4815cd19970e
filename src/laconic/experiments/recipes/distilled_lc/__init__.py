"""Does LC lose less where the network learns from its own original, too? With few values, few weights, few bytes."""

from dataclasses import replace

from laconic.experiments.recipes.distilled_lc.page import figure, judged, page
from laconic.experiments.recipes.distilled_lc.runs import TAUGHT, Seed, settings_of
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.lc_curves.networks import LENETS
from laconic.experiments.recipes.lc_curves.settings import Effort
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe

_SOURCE = (
    "Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015; Carreira-Perpiñán & Idelbayev, the LC "
    "papers, 2017 to 2021"
)
_FIGURE = "softened.png"
_SEEDS = 3


def _run(context: Context) -> Outcome:
    """Train and compress with and without a teacher, seed by seed, and judge."""
    there, curves = holds(context.data_dir, "mnist", "train-images*"), LENETS[0]
    effort, name = (curves.full, "mnist") if there else (curves.small, "digits")
    assert effort is not None, "its inputs are of any size"
    effort = _as_steep(effort)
    seeds = range(context.seed, context.seed + (1 if context.fast else _SEEDS))
    ran = [
        Seed.of(curves.subject, effort, name, seed, context.part(at / len(seeds), (at + 1) / len(seeds)))
        for at, seed in enumerate(seeds)
    ]
    rows = [row for one in ran for row in one.rows(settings_of(effort, one.reference_bytes))]
    verdicts = judged(rows, context.seed)
    record = {
        "recipe": "distilled-lc", "source": _SOURCE, "network": f"{curves.subject.net} {name}",
        "settings": effort.record(), "distillation": vars(TAUGHT), "rows": [row.record() for row in rows],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    shown = page(curves.subject.title, name, effort, rows, verdicts, _FIGURE)
    return Outcome(record, shown, {_FIGURE: figure(ran[0].logits(), f"{curves.subject.title}, {name}")})


def _as_steep(effort: Effort) -> Effort:
    """Return LC at 1/τ of its rate, in all rows alike: what a teacher says is up to τ times as steep as labels are.

    The gradient of τ² H(σ(t/τ), σ(s/τ)) by the outputs s is τ (σ(s/τ) − σ(t/τ)); at the rate of the curves LC with two
    values diverges.
    """
    step = effort.learning.l_step
    return replace(effort, learning=replace(effort.learning, l_step=replace(step, lr=step.lr / TAUGHT.temperature)))


RECIPES = (
    Recipe(
        "distilled-lc",
        "LC at 2 values, at 5 % of the weights and 60 times smaller, with and without distillation from the reference",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "an hour on one core, a third with --fast",
        _run,
    ),
)
