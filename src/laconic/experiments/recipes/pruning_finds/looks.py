"""What the images of first-layer weights say, of each network that is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from laconic.experiments.recipes.pruning_finds.subject import Network, Subject
from laconic.insight.sign_regions import regions

REACHES, DRAWS = (1, 3), 199
"""Pixels between the two of a join at most; and shuffles of each kind: a p-value is 0.005 at least."""


@final
@dataclass(frozen=True, eq=False)
class Look:
    """A network and the joins of its images.

    Args:
        network: it.
        images: weights of each first-layer neuron, shape (neurons, height, width).
        joins: of each reach `laconic.insight.sign_regions.Regions`, as JSON says it.
    """

    network: Network
    images: np.ndarray
    joins: Sequence[Mapping[str, Any]]

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {**self.network.record(), "joins": list(self.joins)}


def look_at(subject: Subject, networks: Sequence[Network]) -> list[Look]:
    """Return what the images of each network say, computed once in the life of the folder."""
    height, width = next(iter(subject.task.batches("validation", 0)))[0].shape[-2:]
    found = list[Look]()
    for number, network in enumerate(networks):
        subject.context.say(number / len(networks), f"joins of {network.run}, {network.label}")
        images = network.weights[0].reshape(-1, height, width)
        found.append(Look(network, images, _joins(subject, network, images)))
    return found


def _joins(subject: Subject, network: Network, images: np.ndarray) -> list[Mapping[str, Any]]:
    """Return what `regions` says, as JSON does."""
    seed = subject.context.seed
    figures, _ = subject.context.cache.point(
        f"{network.run}/{network.label}/joins",
        lambda: ({"joins": [one.record() for one in regions(images, REACHES, DRAWS, seed)]}, {}),
    )
    joins: list[Mapping[str, Any]] = figures["joins"]
    return joins
