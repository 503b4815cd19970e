"""Is LC ahead of other ways to train a network small? Pruning by weights and by neurons, and rounding to few values."""

from dataclasses import dataclass
from typing import Any, final

from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.lc_curves.settings import Effort, learning
from laconic.experiments.recipes.lc_rivals.page import judged, network, title
from laconic.experiments.recipes.lc_rivals.runs import Seed
from laconic.experiments.recipes.lc_rivals.settings import SETTINGS
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.records.mnist import LENET5, LENET300
from laconic.experiments.recipes.records.subject import Subject

_SOURCE = (
    "Zhu & Gupta 2017 (gradual pruning); Guo, Yao & Chen 2016 (dynamic network surgery); Sanh, Wolf & Rush 2020 "
    "(movement pruning); Courbariaux, Bengio & David 2015 and Esser et al. 2020 (rounding); Li et al. 2017 and Hu et "
    "al. 2016 (neurons and filters by ℓ1 and by activity); Carreira-Perpiñán & Idelbayev, the LC papers, 2017 to 2021"
)


@final
@dataclass(frozen=True, eq=False)
class Compared:
    """A network that is compressed by all methods.

    Args:
        subject: the network.
        data: name of the data set.
        effort: how methods are run.
        seeds: how many.
        share: of the work.
    """

    subject: Subject
    data: str
    effort: Effort
    seeds: int
    share: float


_MNIST = (
    Compared(
        LENET300, "mnist", Effort(LENET300.full, (), learning(40, 1, 8, mu=1e-3, growth=1.12, lr=0.1), 12_800), 3, 0.7
    ),
    Compared(
        LENET5, "mnist", Effort(LENET5.full, (), learning(40, 1, 8, mu=2.5e-3, growth=1.12, lr=0.02), 3_200, 32), 1, 0.3
    ),
)
assert LENET300.small is not None, "its inputs are of any size"
_DIGITS = (
    Compared(LENET300, "digits", Effort(LENET300.small, (), learning(30, 3, 10, mu=1e-3, growth=1.2, lr=0.1)), 1, 1.0),
)


def _run(context: Context) -> Outcome:
    """Train, compress by each method, and judge, network by network."""
    there = holds(context.data_dir, "mnist", "train-images*") and not context.fast
    chosen = _MNIST if there else _DIGITS
    shown, record, done = title(), dict[str, Any](), 0.0
    for one in chosen:
        rows = []
        for at in range(one.seeds):
            begins, ends = (done + one.share * place / one.seeds for place in (at, at + 1))
            part = context.part(begins, ends)
            rows += Seed.of(one.subject, one.effort, one.data, context.seed + at, part).rows(SETTINGS)
        done += one.share
        verdicts = judged(rows, SETTINGS, context.seed)
        shown += network(one.subject.title, one.data, one.effort, rows, SETTINGS, verdicts)
        record[one.subject.net] = {
            "data": one.data, "settings": one.effort.record(), "rows": [row.record() for row in rows],
            "verdicts": [verdict.record() for verdict in verdicts],
        }  # fmt: skip
    return Outcome({"recipe": "lc-rivals", "source": _SOURCE, "networks": record}, "\n".join(shown) + "\n", {})


RECIPES = (
    Recipe(
        "lc-rivals",
        "LC against gradual pruning, surgery, movement pruning, rounding and rounds of pruning, at equal epochs",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without, and with --fast",
        "40 minutes on one core, two with --fast",
        _run,
    ),
)
