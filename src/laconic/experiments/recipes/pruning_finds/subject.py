"""The nouns of the recipe: how long is trained, what is pruned, and what comes of it on its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from laconic.experiments.recipes.statement import percent
from laconic.experiments.recipes.trained import Trained
from laconic.insight.surviving_units import widths


@final
@dataclass(frozen=True)
class Effort:
    """How long it is trained.

    Args:
        steps: LC steps.
        epochs: of an L step.
        mu: μ of the first step.
        growth: factor of μ from step to step.
        lr: of the first L step.
        decay: factor of the learning rate from step to step.
        retrained: epochs of what survives, after LC.
        shown: steps that are looked at, beside the first and the last.
        shares: radii of the ℓ1 ball that are tried, over the ℓ1 norm of the reference, ascending.
    """

    steps: int
    epochs: int
    mu: float
    growth: float
    lr: float
    decay: float
    retrained: int
    shown: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def whole(self) -> int:
        """Epochs of LC and retraining: what magnitude pruning has for retraining alone."""
        return self.steps * self.epochs + self.retrained


KEPT = 0.05
"""P, the share of all weights that survive."""


Subject = Trained[Effort]
"""A trained network whose weights are pruned together; biases are left alone."""


@final
@dataclass(frozen=True, eq=False)
class Network:
    """A network at one point of a run.

    Args:
        run: the method.
        label: where on its way.
        weights: of each layer, as it would be used: pruned, but for the reference.
        errors: 1 where a test image is named wrongly, shape (samples,).
        validation: the same of validation images.
    """

    run: str
    label: str
    weights: tuple[np.ndarray, ...]
    errors: np.ndarray
    validation: np.ndarray

    @property
    def widths(self) -> tuple[int, ...]:
        """Surviving inputs, neurons of each layer, and outputs."""
        return widths(self.weights)

    @property
    def kept(self) -> float:
        """Share of the weights that are not 0."""
        return sum(self.survivors) / sum(one.size for one in self.weights)

    @property
    def survivors(self) -> tuple[int, ...]:
        """Weights of each layer that are not 0."""
        return tuple(int(np.count_nonzero(one)) for one in self.weights)

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "run": self.run, "label": self.label, "kept": round(self.kept, 6),
            "survivors": list(self.survivors), "widths": list(self.widths),
            "error": percent(self.errors), "validation error": percent(self.validation),
        }  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A method on its way.

    Args:
        networks: those that are looked at.
        path: step, μ, gap ‖w − Δ(Θ)‖/‖w‖ and share of choices that changed of every LC step, as JSON says them.
    """

    networks: tuple[Network, ...]
    path: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The method."""
        return self.networks[0].run

    @property
    def last(self) -> Network:
        """What comes of it."""
        return self.networks[-1]


PRUNED, RETRAINED = "pruned", "retrained"
"""Labels of a network before and after training of what survives."""
