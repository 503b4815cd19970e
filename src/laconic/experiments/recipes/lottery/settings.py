"""What is trained, how long, and at which densities it is compared with what."""

from dataclasses import dataclass, replace
from typing import Any, final

from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.scratch.masks import Pruning
from laconic.training.optimization import Optimization, adam


@final
@dataclass(frozen=True)
class Effort:
    """What is run.

    Args:
        net: of `laconic.nets`.
        title: its name to people.
        how: one training; an epoch is ``every`` batches.
        batch: training images in a batch.
        every: batches after which the validation loss is looked at.
        levels: how often it is pruned; or, ``at_once``, which levels are made.
        pruning: what goes at each.
        compared: levels at which tickets stand beside their controls.
        seeds: runs of all this.
        at_once: one-shot pruning.
        draws: re-initialisations of each ticket.
        learning: LC, of the dense network; None to leave out all that is no ticket and no control.
        widths: shares of the hidden units that stay in structured pruning.
        printed: what the paper says of the time, of the ticket of 21 % against the dense network and against its mask
            with other first weights, and of the error of that of 13.5 %.
    """

    net: str
    title: str
    how: Optimization
    batch: int
    every: int
    levels: tuple[int, ...]
    pruning: Pruning
    compared: tuple[int, ...]
    seeds: int
    at_once: bool = False
    draws: int = 1
    learning: Training | None = None
    widths: tuple[float, ...] = ()
    printed: tuple[str, str, str] = ("38 % earlier", "2.4 times as early", "by 0.3 points")

    @property
    def steps(self) -> int:
        """Of one training."""
        return self.how.epochs * self.every

    @property
    def networks(self) -> int:
        """How many trainings as long as one there are in all, but for narrow networks."""
        beside = len(self.compared) * (self.draws + 2 + (0 if self.learning is None else 2))
        return self.seeds * (1 + len(self.levels) + beside)

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON says them."""
        lc = self.learning
        return {
            "optimizer": "Adam", "lr": self.how.lr, "steps": self.steps, "batch": self.batch,
            "looked at every": self.every, "levels": list(self.levels), "compared": list(self.compared),
            "seeds": self.seeds, "one-shot": self.at_once, "re-initialisations": self.draws,
            "rates": {"each layer": self.pruning.rate, "others": dict(self.pruning.rates)},
            "LC": lc and {
                "steps": lc.steps, "epochs": lc.l_step.epochs, "lr": lc.l_step.lr, "pull": lc.pull, "growth": lc.growth,
                "fine-tuning epochs": lc.finetune.epochs,
            },
            "widths": list(self.widths),
        }  # fmt: skip


def _learning(steps: int, epochs: int, tuned: int, lr: float, growth: float) -> Training:
    """Return LC in so many epochs as all, an L step of so many, and so many of fine-tuning."""
    tuning = replace(FINE_TUNING, epochs=tuned)
    return Training(steps=steps, l_step=Optimization(epochs, lr), pull=0.1, growth=growth, finetune=tuning)


_ADAM = Optimization(120, 1.2e-3, optimizer=adam)

SHORT = Effort(
    "lenet300", "LeNet-300-100", _ADAM, 60, 100, tuple(range(1, 13)), Pruning(), (3, 7, 9, 12), 3,
    learning=_learning(50, 2, 20, 0.05, 1.1), widths=(0.5, 0.25),
)  # fmt: skip
"""A quarter of the steps in print. LC has, beside the dense network, as many steps as one training."""

PUBLISHED = replace(
    SHORT, how=replace(_ADAM, epochs=500), levels=tuple(range(1, 21)), compared=(3, 7, 9, 12, 15), seeds=5, draws=3,
    learning=_learning(50, 8, 100, 0.05, 1.1),
)  # fmt: skip
"""Figures 3 and 4 of the paper: five trials of 50,000 steps, three re-initialisations of each ticket."""

DIGITS = replace(
    SHORT, how=replace(_ADAM, epochs=8), every=20, levels=(1, 2, 3), compared=(1, 3), seeds=1,
    learning=_learning(4, 1, 2, 0.05, 2.0), widths=(0.5,), pruning=Pruning(0.4),
)  # fmt: skip
"""For a look at the recipe."""

CONV2 = Effort(
    "conv2", "Conv-2", Optimization(20, 2e-4, optimizer=adam), 60, 50, (3, 7, 9, 12), Pruning(rates={"conv*": 0.1}),
    (3, 7, 9, 12), 1, at_once=True,
    printed=("iterative, 3.5 times as early at best", "iterative, slower", "iterative, by 3.4 points at best"),
)  # fmt: skip
"""The small scale: a twentieth of the steps in print, one trial, one-shot."""

CONV2_PUBLISHED = replace(CONV2, how=replace(CONV2.how, epochs=200), every=100, seeds=5, draws=3)
"""20,000 steps, five trials, three re-initialisations."""

FAST_CONV2 = replace(CONV2, how=replace(CONV2.how, epochs=1), every=10, levels=(3, 12), compared=(12,))
"""For a look at the recipe."""
