"""The methods of the paper's Tables 1 and 2: which metric each compression minimises under."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor

from laconic.csteps.compression import Compression
from laconic.errors import UnsupportedMetric
from laconic.experiments.recipes.gao2019.experiment import Settings, Subject
from laconic.theory.importance import IMPORTANCES, estimate
from laconic.theory.metric import Diagonal, Metric, Quartic
from laconic.training.loop import derive_seed


@final
@dataclass(frozen=True)
class Method:
    """One curve.

    Args:
        name: in legends.
        importance: of `laconic.theory.importance`; None for the unit metric.
        objective: what is minimised.
        option: what is chosen on the validation split, or nothing.
        choices: its values in the settings.
    """

    name: str
    importance: str | None
    objective: str
    option: str = ""
    choices: Callable[[Settings], tuple[float, ...]] = field(default_factory=lambda: _none)


def _none(settings: Settings) -> tuple[float, ...]:
    """Return no choices."""
    return ()


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("baseline", None, "Σ (w − ŵ)²"),
            Method(
                "proposed", "unsupervised", "Σ E[Σ_c (∂f_c)²/f_c] (w − ŵ)²", "temperature", lambda s: s.temperatures
            ),
            Method("gradient", "gradient", "Σ E[(∂L)²] (w − ŵ)²"),
            Method("hessian", "hessian", "Σ (E[∂²L] + μ) (w − ŵ)²", "added", lambda s: s.added),
            Method("gradient+hessian", "gradient+hessian", "Σ E[(∂L)²] (w − ŵ)² + ¼ E[(∂²L)²] (w − ŵ)⁴"),
        )
    }
)


def refusal(compression: Compression, method: Method) -> str | None:
    """Return why ``compression`` cannot minimise under the metric of ``method``, or None where it can."""
    if method.importance != "gradient+hessian":
        return None
    one = torch.ones(2)
    try:
        compression.project({"weight": one}, {"weight": Quartic(one, one)})
    except UnsupportedMetric as error:
        return str(error)
    return None


def metrics_of(subject: Subject, method: Method, setting: float | None) -> Mapping[str, Metric] | None:
    """Return the metrics of the weights with two or more axes, estimated once in the life of the folder.

    Args:
        subject: network and data.
        method: which metric.
        setting: of the method's option.
    """
    if method.importance is None:
        return None
    settings = subject.settings
    options: dict[str, Any] = {"samples": settings.samples}
    if method.option:
        options["draws"] = settings.draws
    if method.option == "temperature":
        options["temperature"] = setting
    named = ", ".join(f"{key}={value}" for key, value in sorted(options.items()))
    key = f"{subject.label}/importance/{method.importance}/{named}"
    generator = torch.Generator().manual_seed(derive_seed(subject.context.seed, 1))
    assert method.importance in IMPORTANCES

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        metrics = estimate(method.importance or "", subject.task, subject.params, generator, **options)
        return {}, _packed({name: metric for name, metric in metrics.items() if subject.params[name].ndim >= 2})

    _, tensors = subject.context.cache.point(key, compute)
    return _unpacked(tensors, (setting or 0.0) if method.option == "added" else 0.0)


def _packed(metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
    """Return metrics as tensors by name."""
    tensors: dict[str, Tensor] = {}
    for name, metric in metrics.items():
        if isinstance(metric, Quartic):
            tensors |= {f"{name}/quadratic": metric.quadratic, f"{name}/quartic": metric.quartic}
        else:
            assert isinstance(metric, Diagonal)
            tensors[f"{name}/diagonal"] = metric.importance
    return tensors


def _unpacked(tensors: Mapping[str, Tensor], added: float) -> dict[str, Metric]:
    """Return the metrics that `_packed` was given, with μ added to diagonals."""
    metrics: dict[str, Metric] = {}
    for key, tensor in tensors.items():
        name, _, kind = key.rpartition("/")
        if kind == "diagonal":
            metrics[name] = Diagonal(tensor + added)
        elif kind == "quadratic":
            metrics[name] = Quartic(tensor, tensors[f"{name}/quartic"])
    return metrics
