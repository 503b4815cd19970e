"""Where k-means starts, at equal numbers of values (Han, Mao & Dally 2016, section 3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from torch import Tensor

from laconic.api import compress
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.experiments.recipes.equal_sizes.subject import Subject
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.statement import percent

STARTS = ("linear", "density", "random", "optimal")
_SEEDS = 3
"""Draws of the random start; its errors are means over them."""


@final
@dataclass(frozen=True, eq=False)
class Start:
    """What a start comes to.

    Args:
        values: K, of each layer by itself.
        start: a name of `STARTS`.
        method: "direct", or "tuned": with the values trained afterwards.
        size: bytes of the file; of several seeds, their mean.
        errors: of each test image, mean over the seeds, shape (samples,).
    """

    values: int
    start: str
    method: Literal["direct", "tuned"]
    size: float
    errors: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "values": self.values, "start": self.start, "method": self.method, "bytes": self.size,
            "error": percent(self.errors),
        }  # fmt: skip


def compare(subject: Subject) -> list[Start]:
    """Return every start, number of values and method."""
    starts = list[Start]()
    jobs = [(k, start) for k in subject.effort.values for start in STARTS]
    for number, (k, start) in enumerate(jobs):
        subject.context.say(number / len(jobs), f"k-means from {start}, {k} values")
        seeds = range(_SEEDS if start == "random" else 1)
        points = [_point(subject, k, start, seed) for seed in seeds]
        size = sum(figures["bytes"] for figures, _ in points) / len(points)
        for method in ("direct", "tuned"):
            errors = np.stack([tensors[method].double().numpy() for _, tensors in points]).mean(0)
            starts.append(Start(k, start, method, round(size, 1), errors))
    return starts


def _point(subject: Subject, k: int, start: str, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    """Return the bytes, and the errors of the test images by method; one seed."""

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        compression = AdaptiveCodebook(k, start=start, seed=seed)
        direct = compress(subject.params, compression, subject.task, "direct")
        tuned = compress(
            subject.params, compression, subject.task, "train",
            training=subject.effort.tuning, seed=subject.context.seed,
        )  # fmt: skip
        networks = {"direct": direct.params, "tuned": tuned.params}
        errors = {name: sample_by_sample(subject.task, params, "test")["errors"] for name, params in networks.items()}
        return {"bytes": direct.file_bytes}, errors

    return subject.context.cache.point(f"start/{k}/{start}/{seed}", compute)
