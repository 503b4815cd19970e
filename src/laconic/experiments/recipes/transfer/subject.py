"""The three ways of the lecture, the data of the third, and how long everything is trained."""

from dataclasses import dataclass, replace
from typing import Any, final

from laconic.experiments.recipes.records.mnist import learning
from laconic.experiments.recipes.records.subject import Effort
from laconic.teachers.softening import Distillation
from laconic.teachers.synthetic import Making
from laconic.training.optimization import Optimization, adam, cosine

TEACHER, HIDDEN = "lenet300", (64, 32)
"""The teacher, and the hidden neurons of a student: 52,842 parameters on MNIST, a fifth of the teacher's."""

SIZE = 10_000
"""Bytes of every file."""

LABELLED, UNLABELLED = Distillation(), Distillation(alpha=0.0, beta=1.0)
"""How a network is taught where there are labels, and elsewhere."""


@final
@dataclass(frozen=True)
class Way:
    """How what a teacher knows gets into a file.

    Args:
        name: of the row.
        scheme: "network", "knowledge" or "data" transfer.
        data: that are learned from; of other data than the original there are no labels.
        said: what that is, in a few words.
    """

    name: str
    scheme: str
    data: str
    said: str


NETWORK = Way("network transfer", "network", "original", "the teacher itself is compressed, on its own training images")
KNOWLEDGE = Way("knowledge transfer", "knowledge", "original", "a student is taught on the teacher's training images")
DATA = (
    Way("data transfer, digits", "data", "digits", "on the digits of scikit-learn, scaled to as many pixels"),
    Way("data transfer, generated", "data", "generated", "on images that the teacher makes up"),
    Way("data transfer, noise", "data", "noise", "on uniform noise"),
)
WAYS = (NETWORK, KNOWLEDGE, *DATA)


@final
@dataclass(frozen=True)
class Budget:
    """What is run.

    Args:
        seeds: each with a teacher of its own.
        reference: of the teacher.
        teaching: of a student.
        batches: of an epoch, of the student and of LC, whatever the number of images.
        batch: images of a batch.
        effort: LC within the size.
        made: images that the teacher makes up.
        noise: images of noise.
        making: how they are made up.
    """

    seeds: int
    reference: Optimization
    teaching: Optimization
    batches: int
    batch: int
    effort: Effort
    made: int
    noise: int
    making: Making

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        how = self.effort.learning
        return {
            "seeds": self.seeds, "teacher's epochs": self.reference.epochs, "student's epochs": self.teaching.epochs,
            "batches an epoch": self.batches, "batch": self.batch, "LC steps": how.steps, "mu": how.mu,
            "growth": how.growth, "fine-tuning epochs": how.finetune.epochs, "size": SIZE,
            "alpha": LABELLED.alpha, "beta": LABELLED.beta, "temperature": LABELLED.temperature,
            "generated": self.made, "noise": self.noise,
            "steps of generation": self.making.steps, "tolerance": self.making.tolerance,
        }  # fmt: skip


def _effort(steps: int, growth: float, decay: float, tuned: int) -> Effort:
    """Return LC within the size, as the records have it; of what a teacher says the task tells, not the share."""
    how = replace(learning(steps, 5e-4, growth, decay, tuned, lr=0.02), alike=0.0)
    return Effort(None, (SIZE,), how, 1)


def _adam(epochs: int) -> Optimization:
    """Return Adam, half a cosine."""
    return Optimization(epochs, 1e-3, cosine, optimizer=adam)


FULL = Budget(
    3, _adam(20), _adam(20), 430, 128, _effort(40, 1.117, 0.945, 5), 4_608, 20_000, Making(steps=500, tolerance=0.01)
)
FAST = Budget(1, _adam(4), _adam(4), 100, 128, _effort(4, 1.5, 0.9, 1), 1_024, 2_000, Making(steps=100, tolerance=0.05))
