"""The network that is compressed, how long LC may take, and the sizes that are compared."""

from dataclasses import dataclass, replace
from typing import Any, final

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.reference import trained
from laconic.experiments.recipes.trained import Trained
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import classification

NET = "lenet300-tanh"

_STEADY = 0.02


@final
@dataclass(frozen=True)
class Effort:
    """What is compared on a network.

    Args:
        images: training images of an epoch.
        targets: sizes of files, in bytes.
        learning: the LC algorithm.
        tuning: training of what direct compression leaves free, for the starts of k-means.
        tries: runs of LC at most for one size.
        values: numbers of values for which the starts of k-means are compared; none where they are not.
        prices: of a unit of a singular value in training before truncation; validation images choose.
    """

    images: int
    targets: tuple[int, ...]
    learning: Training
    tuning: Training
    tries: int = 5
    values: tuple[int, ...] = (4, 8, 16)
    prices: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)

    @property
    def before(self) -> Optimization:
        """Training under a price on singular values: as many epochs as LC has; the rate falls from its first to 0.

        It is 0.02 at most: at 0.1 the factors U diag(s) Vᵀ of LeNet-300-100 diverge at every price.
        """
        how = self.learning
        rate = min(how.l_step.lr, _STEADY)
        return replace(how.l_step, epochs=how.steps * how.l_step.epochs, lr=rate, anneal=cosine)

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        how, tuned = self.learning, self.tuning.finetune
        return {
            "training images": self.images, "targets": list(self.targets), "tries": self.tries,
            "LC": {
                "steps": how.steps, "epochs": how.l_step.epochs, "lr": how.l_step.lr, "decay": how.decay,
                "pull": how.pull, "growth": how.growth, "tolerance": how.tolerance,
                "fine-tuning epochs": how.finetune.epochs,
            },
            "starts": {"values": list(self.values), "fine-tuning epochs": tuned.epochs, "lr": tuned.lr},
            "training before truncation": {"prices": list(self.prices), "epochs": self.before.epochs},
        }  # fmt: skip


def learning(
    epochs: int, steps: int, tuned: int, lr: float = 0.1, growth: float = 1.3, clip: float | None = None
) -> Training:
    """Return a short schedule: in all of it μ grows some hundred times."""
    return Training(
        steps=steps,
        l_step=Optimization(epochs=epochs, lr=lr, clip=clip),
        pull=0.05,
        growth=growth,
        finetune=replace(FINE_TUNING, epochs=tuned),
    )


def tuning(epochs: int) -> Training:
    """Return fine-tuning alone."""
    return Training(method="retrain", finetune=replace(FINE_TUNING, epochs=epochs))


MNIST = Effort(12_000, (10_000, 20_000, 40_000), learning(1, 25, 3), tuning(5))
MNIST_FAST = replace(MNIST, targets=(20_000,), tries=2)
DIGITS = Effort(1_200, (3_500, 5_500, 9_500), learning(4, 25, 12), tuning(20))
DIGITS_FAST = replace(DIGITS, targets=(5_500,), tries=2)
TRAINING_DIGITS = Optimization(epochs=40, lr=0.05, anneal=cosine)


Subject = Trained[Effort]
"""A trained network, and what is compared on it."""


def prepare(context: Context) -> Subject:
    """Return the published network on MNIST; one trained here on digits where there is no MNIST.

    Raises:
        DataError: when there is MNIST, but no published network beside it.
    """
    there = holds(context.data_dir, "mnist", "train-images*")
    name = "mnist" if there else "digits"
    ready = data.load(name, context.data_dir, nets.preprocessing_of(NET, name))
    module = nets.build(NET, ready.shape, ready.classes, context.seed)
    notes = nets.identity(NET, name, ready.preprocessing)
    label = f"{NET} {name}"
    if not there:
        params = trained(context.part(0.0, 0.02), label, classification(module, ready, notes), TRAINING_DIGITS)
        note = "No MNIST was found: the 8 x 8 digits of scikit-learn stand in, on a network of the same widths."
        effort = DIGITS_FAST if context.fast else DIGITS
    else:
        assert context.data_dir is not None, "there is MNIST in it"
        path = context.data_dir / "models" / "lenet300_mnist.safetensors"
        if not path.is_file():
            raise DataError(f"techniques compresses {path}, which is missing; add it, or leave --data-dir out")
        params = load_checkpoint(path)[0]
        note = (
            "LeNet-300-100 of the LC toolkit (tanh). It was trained on all 60,000 training images, those of the "
            "validation split too."
        )
        effort = MNIST_FAST if context.fast else MNIST
    task = classification(module, _first(ready, effort.images), notes)
    return Subject(task, params, effort, context.part(0.02, 1.0), label, note)


def _first(ready: Dataset, images: int) -> Dataset:
    """Return the data set with its first training images alone."""
    inputs, targets = ready.splits["train"]
    return replace(ready, splits={**ready.splits, "train": (inputs[:images], targets[:images])})
