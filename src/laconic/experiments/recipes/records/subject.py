"""The networks of the records: how a reference is trained, how it is compressed, and what others have reached."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.training.optimization import Optimization, adam, cosine


@final
@dataclass(frozen=True)
class Published:
    """A point that others have reached, at the bytes of a real file.

    Args:
        name: of the method.
        size: in bytes.
        error: on the test images, in percent.
        source: where it stands.
    """

    name: str
    size: int
    error: float
    source: str


@final
@dataclass(frozen=True)
class Effort:
    """What is run.

    Args:
        reference: how the network is trained before.
        sizes: of the files, in bytes.
        learning: LC within a size.
        seeds: runs of all this, each with a reference of its own.
    """

    reference: Optimization
    sizes: tuple[int, ...]
    learning: Training
    seeds: int

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON says them."""
        before, how = self.reference, self.learning
        return {
            "reference": {"epochs": before.epochs, "lr": before.lr, "optimizer": "Adam, half a cosine"},
            "sizes": list(self.sizes), "seeds": self.seeds,
            "LC": {
                "steps": how.steps, "epochs": how.l_step.epochs, "lr": how.l_step.lr, "decay": how.decay,
                "alike": how.alike, "mu": how.mu, "growth": how.growth, "tolerance": how.tolerance,
                "fine-tuning epochs": how.finetune.epochs, "optimizer": "SGD, Nesterov momentum 0.9", "batch": 128,
            },
        }  # fmt: skip


@final
@dataclass(frozen=True)
class Subject:
    """A network with its records.

    Args:
        net: of `laconic.nets`.
        forward: of the reference while it is trained, with dropout; the plain one where there is none.
        published: the best that there is at real bytes.
        aims: (bytes, error in percent) that would be a record.
        full: what is run on MNIST.
        small: what is run on the digits of scikit-learn where there is no MNIST; None where they are too small.
    """

    net: str
    forward: Callable[[Any, Any], Tensor] | None
    published: tuple[Published, ...]
    aims: tuple[tuple[int, float], ...]
    full: Effort
    small: Effort | None


def dropped(module: nn.Module, batch: Any) -> Tensor:
    """Return the outputs of LeNet-300-100 with three tenths of the hidden neurons left out in training."""
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    hidden = batch[0].flatten(1)
    for layer in layers[:-1]:
        hidden = F.dropout(torch.relu(layer(hidden)), 0.3, module.training)
    outputs: Tensor = layers[-1](hidden)
    return outputs


_ALIKE = 0.5
"""Share of the loss that is the divergence from the reference: chosen on the validation images of seed 0."""


def _learning(
    steps: int, mu: float | None, growth: float, decay: float, tuned: int, epochs: int = 1, lr: float = 0.1
) -> Training:
    """Return LC by SGD."""
    fine_tuning, l_step = replace(FINE_TUNING, epochs=tuned), Optimization(epochs=epochs, lr=lr)
    return Training(
        steps=steps, l_step=l_step, mu=mu, growth=growth, decay=decay, finetune=fine_tuning, alike=_ALIKE
    )  # fmt: skip


_SMALL = Effort(
    Optimization(20, 1e-3, cosine, optimizer=adam), (4_000, 2_500), _learning(40, None, 1.1, 0.96, 5, epochs=5), 2
)

LENET300 = Subject(
    net="lenet300",
    forward=dropped,
    published=(
        Published("Deep Compression", 27_000, 1.58, "Han, Mao & Dally 2016, Table 2"),
        Published("EPR", 8_560, 1.9, "Oktay, Ballé, Singh & Shrivastava 2020, Table 1"),
    ),
    aims=((5_000, 1.9), (10_000, 1.6)),
    full=Effort(
        Optimization(40, 1e-3, cosine, optimizer=adam), (10_000, 5_000), _learning(150, 5e-4, 1.03, 0.985, 20), 3
    ),
    small=_SMALL,
)

LENET5 = Subject(
    net="lenet5",
    forward=None,
    published=(
        Published("Deep Compression", 44_000, 0.74, "Han, Mao & Dally 2016, Table 3"),
        Published("Weightless", 4_520, 1.0, "Reagen et al. 2018, by Havasi, Peharz & Hernández-Lobato 2019"),
        Published("MIRACLE", 3_030, 0.69, "Havasi, Peharz & Hernández-Lobato 2019, Table 1"),
        Published("EPR", 2_840, 1.0, "Oktay, Ballé, Singh & Shrivastava 2020, Table 1"),
        Published("MIRACLE", 1_520, 0.96, "Havasi, Peharz & Hernández-Lobato 2019, Table 1"),
    ),
    aims=((3_000, 0.7), (1_500, 0.95)),
    full=Effort(
        Optimization(20, 1e-3, cosine, optimizer=adam),
        (3_000, 1_500),
        _learning(100, 2.5e-3, 1.045, 0.97, 5, lr=0.02),
        3,
    ),
    small=None,
)
