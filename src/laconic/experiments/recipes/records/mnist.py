"""The LeNets on MNIST: what is run, and what others have reached."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.csteps.parametrisations import Cosine
from laconic.experiments.recipes.records.subject import Effort, Published, Subject
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.training.optimization import Optimization, adam, cosine


def dropped(module: nn.Module, batch: Any) -> Tensor:
    """Return the outputs of LeNet-300-100 with three tenths of the hidden neurons left out in training."""
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    hidden = batch[0].flatten(1)
    for layer in layers[:-1]:
        hidden = F.dropout(torch.relu(layer(hidden)), 0.3, module.training)
    outputs: Tensor = layers[-1](hidden)
    return outputs


ALIKE = 0.5
"""Share of the loss that is the divergence from the reference: chosen on the validation images of seed 0."""


def learning(
    steps: int, mu: float | None, growth: float, decay: float, tuned: int, epochs: int = 1, lr: float = 0.1
) -> Training:
    """Return LC by SGD."""
    fine_tuning, l_step = replace(FINE_TUNING, epochs=tuned), Optimization(epochs=epochs, lr=lr)
    return Training(
        steps=steps, l_step=l_step, mu=mu, growth=growth, decay=decay, finetune=fine_tuning, alike=ALIKE
    )  # fmt: skip


_SMALL = Effort(
    Optimization(20, 1e-3, cosine, optimizer=adam), (4_000, 2_500), learning(40, None, 1.1, 0.96, 5, epochs=5), 2
)

LENET300 = Subject(
    net="lenet300",
    title="LeNet-300-100",
    data="mnist",
    forward=dropped,
    published=(
        Published("Deep Compression", 27_000, 1.58, "Han, Mao & Dally 2016, Table 2"),
        Published("EPR", 8_560, 1.9, "Oktay, Ballé, Singh & Shrivastava 2020, Table 1"),
    ),
    aims=((5_000, 1.9), (10_000, 1.6)),
    full=Effort(
        Optimization(40, 1e-3, cosine, optimizer=adam),
        (10_000, 5_000),
        replace(learning(150, 5e-4, 1.03, 0.985, 20), parametrisation=Cosine((28, 28))),
        3,
    ),
    small=_SMALL,
)

LENET5 = Subject(
    net="lenet5",
    title="LeNet-5",
    data="mnist",
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
        Optimization(43, 1e-3, cosine, optimizer=adam),
        (3_000, 1_500),
        replace(learning(110, 1e-3, 1.03, 0.985, 10, lr=0.05), batches=200),
        3,
        images=25_600,
    ),
    small=None,
)
