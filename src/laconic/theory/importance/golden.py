"""The golden rules of rate-distortion theory as a report: how well compressed weights keep them.

Under the rate constraint, `(w − ŵ)ᵀ I_w (w − ŵ)` is to be least, and at the optimum ŵ is orthogonal to what was lost,
`ŵᵀ I_w (w − ŵ) = 0` (Gao, Liu, Wang & Oh 2019, section 3). For small errors the form is the distortion itself:

    regression       E‖f_w − f_ŵ‖²      ≈    (w − ŵ)ᵀ I_w (w − ŵ)
    classification   E KL(f_ŵ ‖ f_w)    ≈  ½ (w − ŵ)ᵀ I_w (w − ŵ)   in nats, f = softmax(z/T)
"""

from dataclasses import dataclass
from math import sqrt
from typing import final

import torch
from torch import Tensor

from laconic.errors import DataError
from laconic.models.params import Params, once
from laconic.theory.importance.directions import kind_of
from laconic.theory.importance.reading import outputs_of
from laconic.theory.metric import Diagonal, Kronecker, Metric, Metrics, Unit
from laconic.training.batches import size_of
from laconic.training.judges import Kind
from laconic.training.task import Task, mode


@final
@dataclass(frozen=True)
class Rule:
    """What one tensor makes of the golden rules.

    Args:
        name: of the tensor.
        objective: `(w − ŵ)ᵀ I (w − ŵ)`, or what the metric has in its place.
        residual: `|ŵᵀ I (w − ŵ)| / (‖ŵ‖_I ‖w − ŵ‖_I)`, from 0 to 1; 0 where a norm is 0, None where the metric has no
            inner product.
        predicted: distortion to second order, of this tensor alone: the objective, or half of it for classification.
            It is one only with a metric of `unsupervised` or `kronecker`.
    """

    name: str
    objective: float
    residual: float | None
    predicted: float


def golden_rules(params: Params, compressed: Params, metrics: Metrics, kind: Kind) -> tuple[Rule, ...]:
    """Return the report of every tensor of ``compressed``.

    >>> w, c = {"w": torch.tensor([1.0, 3.0])}, {"w": torch.tensor([2.0, 2.0])}
    >>> golden_rules(w, c, {}, "classification")
    (Rule(name='w', objective=2.0, residual=0.0, predicted=1.0),)

    Args:
        params: w.
        compressed: ŵ, of names and shapes in w.
        metrics: by name; the unit metric where there is none.
        kind: of the network.
    """
    rules = []
    for name, tensor in compressed.items():
        metric = metrics.get(name, Unit())
        objective = metric.error(params[name], tensor)
        predicted = objective / 2 if kind == "classification" else objective
        rules.append(Rule(name, objective, orthogonality(metric, params[name], tensor), predicted))
    return tuple(rules)


def orthogonality(metric: Metric, weights: Tensor, compressed: Tensor) -> float | None:
    """Return `|⟨ŵ, w − ŵ⟩| / (‖ŵ‖ ‖w − ŵ‖)` under the metric; 0 where a norm is 0, None without inner products."""
    apart = weights.double() - compressed.double()
    cross, one, two = (inner(metric, a, b) for a, b in ((compressed, apart), (compressed, compressed), (apart, apart)))
    if cross is None or one is None or two is None:
        return None
    return abs(cross) / (sqrt(one) * sqrt(two)) if one > 0 and two > 0 else 0.0


def inner(metric: Metric, left: Tensor, right: Tensor) -> float | None:
    """Return the inner product of two tensors in float64, or None where the metric has none: a quartic is no norm."""
    left, right = left.double(), right.double()
    match metric:
        case Unit():
            return float((left * right).sum())
        case Diagonal(importance=h):
            return float((h.double() * left * right).sum())
        case Kronecker(outputs=g, inputs=a):
            one, two = (tensor.reshape(len(g), -1) for tensor in (left, right))
            return float(((g.double() @ one) * (two @ a.double())).sum())
    return None


def true_distortion(
    task: Task, params: Params, compressed: Params, split: str, *, kind: str | None = None, temperature: float = 1.0
) -> float:
    """Return how far the outputs of ``compressed`` are from those of ``params``, as a mean over the samples of a split.

    Args:
        task: its module is in evaluation mode meanwhile.
        params: w.
        compressed: ŵ; tensors that it lacks are those of w.
        split: "train" (in the order of seed 0), "validation" or "test".
        kind: "classification": `KL(f_ŵ ‖ f_w)` in nats, the compressed network first; "regression": `‖f_w − f_ŵ‖²`.
            Known by the task's loss where it is laconic's.
        temperature: T of f = softmax(z/T).

    Raises:
        PlanError: when the kind cannot be told.
        DataError: when the split has no samples, or outputs have no row for each.
    """
    kind = kind_of(task, kind)
    params, compressed = (
        {first: given[name] for first, name in once(task.module, given).items()} for given in (params, compressed)
    )
    total, count = 0.0, 0
    with torch.no_grad(), mode(task.module, training=False):
        for batch in task.batches(split, 0):
            before = outputs_of(task, params, batch).double()
            after = outputs_of(task, {**params, **compressed}, batch).double()
            if kind == "regression":
                total += float((before - after).square().sum())
            else:
                p, q = (torch.log_softmax(outputs / temperature, 1) for outputs in (after, before))
                total += float((p.exp() * (p - q)).sum())
            count += size_of(batch)
    if not count:
        raise DataError(f"split {split!r} has no samples to measure the distortion on")
    return total / count
