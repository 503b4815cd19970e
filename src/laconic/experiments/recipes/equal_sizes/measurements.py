"""One file of the table: a technique at a size, direct or by LC; found, made, and judged on the test images once."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from time import perf_counter
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from laconic.api import compress
from laconic.errors import LaconicError
from laconic.experiments.recipes.equal_sizes.settings import Setting
from laconic.experiments.recipes.equal_sizes.strength import Found, halved, sought
from laconic.experiments.recipes.equal_sizes.subject import Subject
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.statement import percent
from laconic.format import container
from laconic.models.params import Params, decompress
from laconic.plans.toml import in_toml
from laconic.result import Result
from laconic.theory.metric import Metrics

Method = Literal["direct", "LC"]

_GUESS = 2e-3
"""What LC's price, one of the loss, is of the price of direct compression, in squared weights, before one is known."""


@final
@dataclass(frozen=True, eq=False)
class Measurement:
    """One line of the table.

    Args:
        setting: what was compressed how.
        target: size asked for, in bytes.
        method: "direct" or "LC".
        figures: bytes, errors in percent, seconds and the like; or "reason", why there are none.
        errors: 1 where a test image is named wrongly, shape (samples,); none with a reason.
    """

    setting: Setting
    target: int
    method: Method
    figures: Mapping[str, Any]
    errors: np.ndarray

    @property
    def reached(self) -> bool:
        """Whether the file is of the size asked for, or little below."""
        return bool(self.figures.get("reached", False))

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "technique": self.setting.technique,
            "setting": self.setting.label,
            "family": self.setting.family,
            "parameter": self.setting.parameter,
            "target": self.target,
            "method": self.method,
            **self.figures,
        }


@final
class Direct:
    """Direct compression of one setting; a strength is tried once for all sizes."""

    def __init__(self, subject: Subject, setting: Setting) -> None:
        self.subject, self.setting = subject, setting
        self._sizes: dict[float, int] = {}
        self._metrics: Metrics | None = None

    def row(self, target: int) -> Measurement:
        """Return the row of one size, computed once in the life of the folder."""

        def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
            try:
                strength = halved(self.setting, self._size, target)
            except LaconicError as error:
                return {"reason": str(error)}, {}
            started = perf_counter()
            result = self._compress(strength.strength)
            seconds = perf_counter() - started
            return judged(self.subject, self.setting, strength, target, result.params, seconds)

        key = f"{self.setting.label}/{target}/direct"
        return row_of(self.setting, target, "direct", *self.subject.context.cache.point(key, compute))

    def _size(self, strength: float) -> int:
        """Return the bytes of the file."""
        if strength not in self._sizes:
            self._sizes[strength] = self._compress(strength).file_bytes
        return self._sizes[strength]

    def _compress(self, strength: float) -> Result:
        """Return what direct compression makes."""
        if self._metrics is None:
            self._metrics = metrics_of(self.subject, self.setting)
        plan = self.setting.plan(strength, self.subject.params)
        return compress(self.subject.params, plan, metrics=self._metrics, metadata=self.subject.task.metadata)


def learned(subject: Subject, direct: Measurement, known: Mapping[float, int]) -> Measurement:
    """Return the row of LC at the size of a direct one; a few runs look for the strength.

    Args:
        subject: the network.
        direct: the row of direct compression.
        known: bytes by place, from runs for other sizes.
    """
    setting, target, effort = direct.setting, direct.target, subject.effort
    if setting.span is None:
        return row_of(setting, target, "LC", {"reason": "nothing is constrained, so there is nothing for LC to do"}, {})
    if "reason" in direct.figures or not (direct.reached or setting.priced):
        text = direct.figures.get("reason", "direct compression does not reach this size")
        return row_of(setting, target, "LC", {"reason": text}, {})
    shift = log(_GUESS) / log(setting.span[1] / setting.span[0]) if setting.priced else 0.0

    def run(strength: float) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
        key = f"{setting.label}/LC/{strength}"
        return subject.context.cache.point(key, lambda: _trained(subject, setting, strength))

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        start, slope = min(max(direct.figures["place"] + shift, 0.0), 1.0), direct.figures["slope"]
        try:
            sought_strength, tried = sought(
                setting, lambda strength: run(strength)[0]["bytes"], target, known, start, slope, effort.tries
            )
        except LaconicError as error:
            return {"reason": str(error)}, {}
        figures, tensors = run(sought_strength.strength)
        params = decompress(container.loads(tensors["file"].numpy().tobytes()).codes)
        figures_of_file, errors = judged(subject, setting, sought_strength, target, params, figures["seconds"])
        more = {"steps": figures["steps"], "gap": figures["gap"], "tried": sorted(tried.items())}
        return {**figures_of_file, **more}, errors

    key = f"{setting.label}/{target}/LC"
    return row_of(setting, target, "LC", *subject.context.cache.point(key, compute))


def _trained(subject: Subject, setting: Setting, strength: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Run LC once and return its file."""
    started = perf_counter()
    result = compress(
        subject.params,
        setting.plan(strength, subject.params),
        subject.task,
        "train",
        training=subject.effort.learning,
        metrics=metrics_of(subject, setting),
        seed=subject.context.seed,
    )
    seconds = round(perf_counter() - started, 2)
    file = container.dumps(result.codes, result.metadata)
    progress = result.history[-1]
    figures = {"bytes": len(file), "seconds": seconds, "steps": progress.step, "gap": round(progress.gap, 6)}
    return figures, {"file": torch.from_numpy(np.frombuffer(file, np.uint8).copy())}


def metrics_of(subject: Subject, setting: Setting) -> Metrics | None:
    """Return the metrics that the setting's importance gives, or None where it has none."""
    return None if setting.importance is None else setting.importance.metrics(subject.task, subject.params)


def kept(params: Params) -> dict[str, float]:
    """Return the share of the weights that are not zero, for each tensor with two axes or more.

    >>> kept({"w": torch.tensor([[1.0, 0.0]]), "b": torch.ones(2)})
    {'w': 0.5}
    """
    return {n: round(int(t.count_nonzero()) / t.numel(), 6) for n, t in params.items() if t.ndim >= 2}


def judged(
    subject: Subject, setting: Setting, strength: Found, target: int, params: Params, seconds: float
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the figures of a file, and which test images it names wrongly."""
    errors = {split: sample_by_sample(subject.task, params, split)["errors"] for split in ("validation", "test")}
    figures = {
        "strength": strength.strength,
        "row": in_toml(dict(setting.row(strength.strength))),
        "bytes": strength.size,
        "reached": strength.reaches(target),
        "error": percent(errors["test"].double().numpy()),
        "validation": percent(errors["validation"].double().numpy()),
        "seconds": round(seconds, 2),
        "kept": kept(params),
        "place": strength.place,
        "slope": round(strength.slope, 6),
    }
    return figures, {"errors": errors["test"]}


def row_of(
    setting: Setting, target: int, method: Method, figures: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Measurement:
    """Return the row of what the cache keeps."""
    errors = tensors["errors"].double().numpy() if tensors else np.zeros(0)
    return Measurement(setting, target, method, figures, errors)
