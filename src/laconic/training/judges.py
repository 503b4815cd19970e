"""What outputs are judged by: losses and measures, as torch has them or as functions of outputs and batch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.training.batches import Batch, targets_of

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) → mean over the batch, 0-d: a loss as torch has them."""

Judge = Callable[[Any, Batch], Tensor]
"""(outputs, batch) → mean over the batch, 0-d."""

Kind = Literal["classification", "regression"]
"""What outputs are: logits (samples, classes), or the values themselves."""

KINDS = ("classification", "regression")


@final
@dataclass(frozen=True)
class OfTargets:
    """A loss of outputs and targets as a function of outputs and batch.

    Args:
        loss: (outputs, targets) → mean over the batch, 0-d.
    """

    loss: Loss

    def __call__(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the loss for the targets in ``batch``."""
        return self.loss(outputs, targets_of(batch))


def judge_of(name: str, function: Any) -> Judge:
    """Return a function of outputs and batch: ``function`` itself where its second parameter is named ``batch``.

    Raises:
        DataError: when it is no function.
    """
    if not callable(function) or isinstance(function, type):
        came = f"the class {function.__name__}" if isinstance(function, type) else f"a {type(function).__name__}"
        raise DataError(
            f"{name} is a function of outputs and targets, such as torch.nn.CrossEntropyLoss() or "
            f"torch.nn.functional.mse_loss, not {'missing' if function is None else came}"
        )
    try:
        second = list(signature(function.forward if isinstance(function, nn.Module) else function).parameters)[1:2]
    except ValueError:  # some built-in functions have none to look at
        second = []
    return function if isinstance(function, OfTargets) or second == ["batch"] else OfTargets(function)


def kind_by(loss: Any) -> Kind | None:
    """Return what outputs are, where the loss is one that tells."""
    while isinstance(loss, OfTargets | partial):
        loss = loss.func if isinstance(loss, partial) else loss.loss
    if loss in (cross_entropy, F.cross_entropy, F.nll_loss) or isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss):
        return "classification"
    values = F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss
    if loss in (least_squares, *values) or isinstance(loss, nn.MSELoss | nn.L1Loss | nn.SmoothL1Loss | nn.HuberLoss):
        return "regression"
    return None


def ignored_by(loss: Any) -> int | None:
    """Return the target that a cross-entropy leaves out, its ``ignore_index``; None for any other loss."""
    given: dict[str, Any] = {}
    while isinstance(loss, OfTargets | partial):
        given = {**loss.keywords, **given} if isinstance(loss, partial) else given
        loss = loss.func if isinstance(loss, partial) else loss.loss
    if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss):
        return loss.ignore_index
    index: int | None = given.get("ignore_index", -100) if kind_by(loss) == "classification" else None
    return index


def counting(batch: Batch, outputs: Tensor, ignored: int | None) -> Tensor | None:
    """Return which positions count, True and False of shape (samples, ...), or None where all do.

    Args:
        batch: with targets.
        outputs: logits (samples, classes, ...).
        ignored: the target of positions that do not, as `ignored_by` gives it.
    """
    targets = None if ignored is None else targets_of(batch)
    if ignored is None or not isinstance(targets, Tensor) or targets.shape != outputs.shape[:1] + outputs.shape[2:]:
        return None
    counts = targets.ne(ignored)
    return None if bool(counts.all()) else counts


def rows_of(outputs: Tensor, counts: Tensor) -> Float[Tensor, "positions classes"]:
    """Return the logits of those positions that count."""
    return outputs.movedim(1, -1)[counts]


def require_classes(outputs: Tensor, kind: Kind | None) -> None:
    """Raise `DataError` for logits among which nobody can choose: of a single class, or without an axis of classes."""
    if kind == "classification" and (outputs.ndim < 2 or outputs.shape[1] < 2):
        raise DataError(
            f"outputs {described(outputs)} name no classes: what a network is taught are logits (samples, classes, "
            "...), of two classes or more. In place of a single logit z give two, 0 and z, and a cross-entropy for loss"
        )


def require_judged(loss: Judge, outputs: Any, batch: Batch, kind: Kind | None) -> None:
    """Take the loss of a first batch.

    Raises:
        DataError: when it fails, or is no finite number; it shows outputs and targets.
    """
    whole = not isinstance(loss, OfTargets)
    came = described(batch) if whole else described(targets_of(batch))
    where = f"outputs {described(outputs)} and {'batch' if whole else 'targets'} {came}"
    if kind == "regression" and not whole and _shape(outputs) != _shape(targets_of(batch)):
        raise DataError(f"a regression has outputs and targets of one shape, not {where}")
    try:
        value = loss(outputs, batch)
    except Exception as error:
        raise DataError(f"the loss fails for {where}: {error}") from error
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        raise DataError(f"the loss of a batch is a tensor without axes, not {described(value)}; for {where}")
    if not math.isfinite(float(value)):
        raise DataError(f"the loss of the first batch is {float(value)}; for {where}")


def names_classes(outputs: Any, batch: Batch) -> bool:
    """Say whether the largest outputs along axis 1 can be compared with the targets."""
    if not isinstance(outputs, Tensor) or outputs.ndim < 2:
        return False
    try:
        targets = targets_of(batch)
    except DataError:
        return False
    integers = isinstance(targets, Tensor) and not targets.is_floating_point()
    return integers and targets.shape == outputs.shape[:1] + outputs.shape[2:]


def same_batch(one: Any, other: Any) -> bool:
    """Say whether two batches hold the same tensors."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(((one == other) | (one != one)).all())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_batch(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(same_batch, one, other))
    return True


def described(thing: Any) -> str:
    """Return dtypes and shapes of the tensors in a batch, or a loss.

    >>> described((torch.zeros(2, 3), {"label": torch.tensor([1, 2])}))
    '(float32 (2, 3), {label: int64 (2,)})'
    """
    if isinstance(thing, Tensor):
        return f"{str(thing.dtype).removeprefix('torch.')} {tuple(thing.shape)}"
    if isinstance(thing, Mapping):
        return "{" + ", ".join(f"{key}: {described(value)}" for key, value in thing.items()) + "}"
    if isinstance(thing, tuple | list):
        return "(" + ", ".join(map(described, thing)) + ")"
    return f"a {type(thing).__name__}"


def _shape(thing: Any) -> tuple[int, ...] | None:
    """Return the shape of a tensor."""
    return tuple(thing.shape) if isinstance(thing, Tensor) else None


def _wide(outputs: Tensor) -> Tensor:
    """Return ``outputs`` in float32 at least: losses are not computed in half precision."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def cross_entropy(outputs: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of logits, in nats per sample."""
    return F.cross_entropy(_wide(outputs), targets_of(batch))


def error(outputs: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, ""]:
    """Return the share of samples whose largest output is not the target, in percent."""
    targets: Tensor = targets_of(batch)
    return 100 * outputs.argmax(1).ne(targets).double().mean()


def least_squares(outputs: Float[Tensor, "batch ..."], batch: Batch) -> Float[Tensor, ""]:
    """Return the mean over the samples of the squared error, summed over the outputs.

    Raises:
        DataError: when outputs and targets differ in shape.
    """
    targets: Tensor = targets_of(batch)
    if outputs.shape != targets.shape:
        raise DataError(f"outputs of shape {tuple(outputs.shape)}, but targets of shape {tuple(targets.shape)}")
    return (_wide(outputs) - targets).square().sum() / len(targets)


def distance(original: Tensor, other: Tensor, kind: Kind | None) -> float:
    """Return the `divergence`, in double precision."""
    return float(divergence(original.double(), other.double(), kind))


def divergence(original: Tensor, other: Tensor, kind: Kind | None) -> Float[Tensor, ""]:
    """Return how far outputs are from the original's, with gradients by both: the mean of `divergences`."""
    return divergences(original, other, kind).mean()


def divergences(original: Tensor, other: Tensor, kind: Kind | None) -> Float[Tensor, " samples"]:
    """Return how far the outputs of each sample are from the original's, with gradients by both.

    KL(original ‖ other) of their softmax for classification, in nats a row of logits; else their squared difference
    over the variance of the original's.

    Args:
        original: a sample's rows of logits, classes along the second axis, or its values.
        other: the same shape.
        kind: of the outputs; where it is not known they are values.
    """
    if kind == "classification":
        p, q = (outputs.movedim(1, -1).log_softmax(-1) for outputs in (original, other))
        return _by_sample((p.exp() * (p - q)).sum(-1))
    lost, variance = _by_sample((original - other).square()), original.var(0, correction=0).mean()
    whole = original.square().mean()
    scale = variance if variance > 1e-9 * whole else whole  # outputs that do not vary but for rounding
    return lost / scale if scale > 0 else lost


def _by_sample(values: Float[Tensor, "samples ..."]) -> Float[Tensor, " samples"]:
    """Return the mean of each sample."""
    return values.reshape(len(values), -1).mean(1)
