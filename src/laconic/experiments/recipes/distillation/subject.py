"""The rows of table 9 of Polino, Pascanu & Alistarh 2018, and how long each network is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

from laconic.teachers.softening import Distillation
from laconic.training.optimization import Optimization, cosine

TAUGHT = Distillation(alpha=0.3, beta=0.7, temperature=2.0)
"""With the factor τ², as in the authors' code."""

BITS = (4.0, 3.0)
"""A weight, of the files of each student, made from its weights alone."""

TEACHER = "polino-5.3m"
STUDENTS: Mapping[str, str] = MappingProxyType(
    {"polino-0.1m": "student 3", "polino-0.3m": "student 2", "polino-1.0m": "student 1"}
)
"""Network → its name in the table, in the order in which they are run."""

PUBLISHED: Mapping[str, tuple[float, float | None]] = MappingProxyType(
    {
        TEACHER: (89.7, None), "polino-1.0m": (84.5, 88.8), "polino-0.3m": (80.3, 84.3), "polino-0.1m": (71.6, 78.2),
    }
)  # fmt: skip
"""Accuracy in percent, alone and distilled."""


@final
@dataclass(frozen=True)
class Scale:
    """What is run.

    Args:
        name: "full", "small" or "digits".
        teacher: network, where it is no published one.
        students: networks, in this order.
        epochs: of every network.
        images: of an epoch, others in each; all unless told.
        lr: of SGD at first; it falls by half a cosine.
        batch: images of a batch.
    """

    name: str
    teacher: str
    students: tuple[str, ...]
    epochs: int
    images: int | None
    lr: float
    batch: int = 25

    @property
    def how(self) -> Optimization:
        """Return the training of every network: Nesterov momentum 0.9, with the decay of the authors' code."""
        return Optimization(self.epochs, self.lr, cosine, 2.2e-4)

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "scale": self.name, "epochs": self.epochs, "images an epoch": self.images or "all", "batch": self.batch,
            "lr": self.lr, "weight decay": self.how.weight_decay, "alpha": TAUGHT.alpha, "beta": TAUGHT.beta,
            "temperature": TAUGHT.temperature, "factor": "temperature squared",
            "augmentation": "none" if self.name == "digits" else "crop and flip",
        }  # fmt: skip


FULL = Scale("full", TEACHER, tuple(STUDENTS), 200, None, 0.01)
SMALL = Scale("small", TEACHER, tuple(STUDENTS), 30, 10_000, 0.01)
DIGITS = Scale("digits", "polino-0.3m", ("polino-0.1m",), 4, None, 0.01)
SHELF = ("resnet32", "models/resnet32_cifar10.safetensors")
"""The network of the variant whose teacher is a published one."""
