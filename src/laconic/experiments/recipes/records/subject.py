"""The nouns of the records: how a reference is trained, how it is compressed, and what others have reached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from laconic.lc.learning import Training
from laconic.training.optimization import Optimization


@final
@dataclass(frozen=True)
class Published:
    """A point that others have reached, at the bytes of a real file unless the name says other.

    Args:
        name: of the method.
        size: in bytes.
        error: on the test images, in percent; None where the source gives no figure.
        source: where it stands.
        said: what it says in place of a figure.
    """

    name: str
    size: int
    error: float | None
    source: str
    said: str = ""


@final
@dataclass(frozen=True)
class Effort:
    """What is run.

    Args:
        reference: how the network is trained before; None for a published one.
        sizes: of the files, in bytes.
        learning: LC within a size.
        seeds: runs of all this, each with a reference of its own unless that is published.
        optimizer: of the reference, in words.
        batch: training images in a batch.
        images: training images of an epoch, others in each; all unless told.
        augment: what is done to them, by name.
        validation: training images that are held out; as many as usual unless told.
    """

    reference: Optimization | None
    sizes: tuple[int, ...]
    learning: Training
    seeds: int
    optimizer: str = "Adam, half a cosine"
    batch: int = 128
    images: int | None = None
    augment: str | None = None
    validation: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON says them."""
        before, how = self.reference, self.learning
        return {
            "reference": before and {
                "epochs": before.epochs, "lr": before.lr, "weight decay": before.weight_decay,
                "optimizer": self.optimizer,
            },
            "sizes": list(self.sizes), "seeds": self.seeds,
            "LC": {
                "steps": how.steps, "epochs": how.l_step.epochs, "batches at least": how.batches or "as usual",
                "lr": how.l_step.lr, "decay": how.decay, "alike": how.alike, "mu": how.mu, "growth": how.growth,
                "tolerance": how.tolerance, "weight decay": how.l_step.weight_decay,
                "parametrisation": repr(how.parametrisation),
                "fine-tuning epochs": how.finetune.epochs, "fine-tuning lr": how.finetune.lr,
                "optimizer": "SGD, Nesterov momentum 0.9", "batch": self.batch, "images an epoch": self.images or "all",
                "augmentation": self.augment or "none",
            },
        }  # fmt: skip


@final
@dataclass(frozen=True)
class Subject:
    """A network with its records.

    Args:
        net: of `laconic.nets`.
        title: its name to people.
        data: what it was published with, "mnist" or "cifar10".
        forward: of the reference while it is trained, with dropout; the plain one where there is none.
        published: the best that there is at real bytes.
        aims: (bytes, error in percent) that would be a record.
        full: what is run in earnest.
        small: of MNIST what is run on the digits of scikit-learn where there is no MNIST, None where they are too small
            for the network; of CIFAR-10 what a processor can run.
        weights: of the published reference, under the data folder; "" where it is trained here.
        note: on the reference, for the page.
    """

    net: str
    title: str
    data: str
    forward: Callable[[Any, Any], Tensor] | None
    published: tuple[Published, ...]
    aims: tuple[tuple[int, float], ...]
    full: Effort
    small: Effort | None
    weights: str = ""
    note: str = ""
