"""Importances by the names that a command line knows."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Generator

from laconic.errors import PlanError
from laconic.importance.distortion import unsupervised
from laconic.importance.supervised import gradient, gradient_and_hessian, hessian
from laconic.metric import Metric
from laconic.params import Params
from laconic.task import Task

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
    if importance not in IMPORTANCES:
        raise PlanError(f"importance must be one of {', '.join(IMPORTANCES)}, not {importance!r}")
    takes = list(inspect.signature(IMPORTANCES[importance]).parameters)[3:]
    if strange := sorted(options.keys() - set(takes)):
        raise PlanError(f"{importance} takes the options {', '.join(takes)}, not {', '.join(strange)}")
    return dict(IMPORTANCES[importance](task, params, generator, **options))
