"""Importances by the names that a command line knows."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Generator

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.theory.importance.distortion import unsupervised
from laconic.theory.importance.reading import Watch
from laconic.theory.importance.supervised import gradient, gradient_and_hessian, hessian
from laconic.theory.metric import Metric
from laconic.training.task import Task

IMPORTANCES: Mapping[str, Callable[..., Mapping[str, Metric]]] = {
    "unsupervised": unsupervised,
    "gradient": gradient,
    "hessian": hessian,
    "gradient+hessian": gradient_and_hessian,
}
"""The estimators of Gao, Liu, Wang & Oh 2019, Table 1, each (task, params, generator, ...) → metrics by name."""


def estimate(
    importance: str, task: Task, params: Params, generator: Generator | None = None, **options: Any
) -> dict[str, Metric]:
    """Return the metric of every parameter.

    Args:
        importance: a name in `IMPORTANCES`.
        task: module, training samples and loss.
        params: weights of the network.
        generator: of what is drawn; not needed where nothing is.
        options: the estimator's own, such as ``draws``, ``samples`` and ``watch``.

    Raises:
        PlanError: for a name that is none, or a bad option.
        DataError: when there are no samples, or outputs have no row for each.
    """
    _require_options(importance, options)
    return dict(IMPORTANCES[importance](task, params, generator, **options))


@final
@dataclass(frozen=True)
class Importance:
    """Which importance the errors of a plan are weighed by; it is estimated when a task is there.

    Args:
        name: one of `IMPORTANCES`.
        temperature: of "unsupervised" for classifiers; 1 unless given.
        samples: how many training samples; all unless given.
        kind: of "unsupervised": "classification" or "regression", where the task's loss does not tell.

    Raises:
        PlanError: for a name that is none, and for options that it does not take or that are out of range.

    >>> Importance("unsupervised", samples=1000)
    Importance(name='unsupervised', temperature=None, samples=1000, kind=None)
    """

    name: str
    temperature: float | None = None
    samples: int | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        _require_options(self.name, self._options.keys())
        if self.samples is not None and self.samples < 1:
            raise PlanError(f"samples must be at least 1, not {self.samples}; leave it out for the whole split")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise PlanError(f"temperature must be above 0 and finite, not {self.temperature}")

    def metrics(self, task: Task, params: Params, watch: Watch | None = None) -> dict[str, Metric]:
        """Return the metric of every parameter; arguments and errors as `estimate`."""
        return estimate(self.name, task, params, **self._options, watch=watch)

    @property
    def _options(self) -> dict[str, Any]:
        """The estimator's options that are given."""
        given = {"temperature": self.temperature, "samples": self.samples, "kind": self.kind}
        return {option: value for option, value in given.items() if value is not None}


def _require_options(importance: str, options: Iterable[str]) -> None:
    """Raise `PlanError` unless there is such an importance and it takes these options."""
    if importance not in IMPORTANCES:
        raise PlanError(f"importance must be one of {', '.join(IMPORTANCES)}, not {importance!r}")
    takes = list(inspect.signature(IMPORTANCES[importance]).parameters)[3:]
    if strange := sorted(set(options) - set(takes)):
        raise PlanError(f"{importance} takes the options {', '.join(takes)}, not {', '.join(strange)}")
