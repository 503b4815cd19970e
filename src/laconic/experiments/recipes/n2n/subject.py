"""The networks whose students are searched, and the budget: how many students, and how long each is taught."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from laconic.teachers.softening import Distillation
from laconic.teachers.students.architecture import Architecture, lenet5, resnet
from laconic.teachers.students.search import Effort
from laconic.training.optimization import Optimization, adam, cosine

TAUGHT = Distillation(alpha=1.0, beta=1.0, logits=True)
"""Cross-entropy, and the squared distance of logits, a mean over the classes as in the authors' code."""


@final
@dataclass(frozen=True)
class Budget:
    """What is run.

    Args:
        search: how many students, and how policies learn.
        seeds: searches of either kind.
        images: that a student is taught on in each of its epochs, others in each.
        batch: of them.
        how: a student is taught.
        judged: validation images that rewards are taken on.
    """

    search: Effort
    seeds: int
    images: int
    batch: int
    how: Optimization
    judged: int

    @property
    def pool(self) -> int:
        """Training images, the first ones, that a student's are drawn from: no more than that are worth an answer."""
        return 8 * self.how.epochs * self.images

    @property
    def taught(self) -> int:
        """Images that all students together are taught on, at most."""
        return 2 * self.seeds * self.search.students * self.how.epochs * self.images

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "students": self.search.students, "removal": self.search.removal, "seeds": self.seeds,
            "rollouts": self.search.rollouts, "rates": [self.search.removal_lr, self.search.shrinkage_lr],
            "epochs": self.how.epochs, "images an epoch": self.images, "batch": self.batch, "lr": self.how.lr,
            "weight decay": self.how.weight_decay, "alpha": TAUGHT.alpha, "beta": TAUGHT.beta,
            "judged": self.judged, "drawn from": self.pool, "images at most": self.taught,
        }  # fmt: skip


@final
@dataclass(frozen=True)
class Subject:
    """A teacher.

    Args:
        net: of `laconic.models.nets`.
        title: to people.
        data: name of the data set.
        rows: shape of an input → its architecture.
        budget: of its students.
        fast: the same with --fast.
        reference: how it is trained here; None for a published one.
        weights: of that, under the data folder.
    """

    net: str
    title: str
    data: str
    rows: Callable[[tuple[int, ...]], Architecture]
    budget: Budget
    fast: Budget
    reference: Optimization | None = None
    weights: str = ""


def _taught(epochs: int) -> Optimization:
    """Return how a student is taught: by Adam, with the decay of the authors' code."""
    return Optimization(epochs, 1e-3, cosine, 5e-4, adam)


_FEW = Effort(removal=5, shrinkage=5)

LENET5 = Subject(
    net="lenet5",
    title="LeNet-5",
    data="mnist",
    rows=lenet5,
    budget=Budget(Effort(), 3, 6_400, 128, _taught(4), 5_000),
    fast=Budget(_FEW, 1, 1_280, 64, _taught(2), 1_000),
    reference=Optimization(6, 1e-3, cosine, optimizer=adam),
)

RESNET20 = Subject(
    net="resnet20",
    title="ResNet-20",
    data="cifar10",
    rows=lambda shape: resnet(shape, 3),
    budget=Budget(Effort(), 1, 2_560, 32, _taught(4), 2_000),
    fast=Budget(_FEW, 1, 640, 32, _taught(1), 500),
    weights="models/resnet20_cifar10.safetensors",
)
