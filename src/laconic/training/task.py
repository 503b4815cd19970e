"""What a network is for: its module, its data, its loss. Weights come in by name; the module's own stay untouched."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic import interrupts
from laconic.errors import DataError, WeightsError
from laconic.models.data import Dataset
from laconic.models.params import Params, beside, once

Batch = tuple[Any, Any]
"""Inputs and targets. A user's own loss may put anything in either place: a tuple of inputs becomes the module's
arguments, and targets that nobody reads may be an empty tensor."""


@final
@dataclass(frozen=True, eq=False)
class Task:
    """A module with what it is trained and judged by.

    Args:
        module: the network; it runs in the mode (training or evaluation) that it is in.
        batches: (split, seed) → batches, split being "train", "validation" or "test". Training batches are shuffled
            by the seed, others come in order.
        loss: (outputs, batch) → mean loss of the batch, 0-d.
        measures: by name, further (outputs, batch) → mean over the batch, 0-d.
        metadata: network, data set and preprocessing; they travel in checkpoints and `.lac` files.
    """

    module: nn.Module
    batches: Callable[[str, int], Iterable[Batch]]
    loss: Callable[[Tensor, Batch], Tensor]
    measures: Mapping[str, Callable[[Tensor, Batch], Tensor]] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def outputs(self, params: Params, batch: Batch) -> Tensor:
        """Return the outputs of the module with ``params`` for its own tensors.

        In training mode BatchNorm updates the running statistics in ``params``, in place. Buffers that ``params``
        lacks are read from copies of the module's.

        Args:
            params: every parameter by its name; tied ones under any of theirs, or under several.
            batch: inputs and targets.

        Raises:
            WeightsError: when a parameter is missing, a name is none of the module's, or names of one tensor come with
                different values.
        """
        kept, buffers = once(self.module, params), dict(self.module.named_buffers())
        _require_names(self.module, kept, buffers)
        own = {name: buffer.clone() for name, buffer in buffers.items() if name not in kept}
        own |= {name: params[name] for name in kept.values()}
        inputs: Any = batch[0]
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        outputs: Tensor = torch.func.functional_call(self.module, own, arguments)
        return outputs

    def evaluate(self, params: Params, split: str) -> dict[str, float]:
        """Return the loss and the measures of ``params`` on a split, as means over its samples.

        The module is in evaluation mode meanwhile; weights are moved to its device. On "train" the batches are those of
        seed 0, augmented if training is.

        Raises:
            DataError: when the split has no batches.
            WeightsError: as `outputs`.
        """
        params = beside(self.module, {name: params[name] for name in once(self.module, params).values()})
        judges = {"loss": self.loss, **self.measures}
        totals, count = dict.fromkeys(judges, 0.0), 0
        with torch.no_grad(), mode(self.module, training=False):
            for batch in self.batches(split, 0):
                interrupts.check()
                outputs, size = self.outputs(params, batch), _size(batch)
                for name, judge in judges.items():
                    totals[name] += size * float(judge(outputs, batch))
                count += size
        if not count:
            raise DataError(f"split {split!r} has no samples to evaluate")
        return {name: total / count for name, total in totals.items()}


def _require_names(module: nn.Module, kept: Mapping[str, str], buffers: Mapping[str, Tensor]) -> None:
    """Raise `WeightsError` unless ``kept``, by first names, is every parameter, and nothing that the module lacks."""
    own = dict(module.named_parameters())
    strange = kept.keys() - own.keys() - buffers.keys()
    if strange:
        raise WeightsError(f"the module has no {', '.join(sorted(strange))}; weights go by their state_dict names")
    missing = [name for name in own if name not in kept]
    if missing:
        raise WeightsError(
            f"the weights lack {', '.join(missing)}; laconic.models.params.params_of(module) gives them all"
        )


@contextmanager
def mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Hold every part of ``module`` in training or evaluation mode, then give each its own mode back."""
    modes = {part: part.training for part in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for part, before in modes.items():
            part.training = before


def _size(batch: Any) -> int:
    """Return the number of samples: the length of the first tensor in the batch."""
    while isinstance(batch, tuple | list):
        batch = batch[0]
    return len(batch)


def _wide(outputs: Tensor) -> Tensor:
    """Return ``outputs`` in float32 at least: losses are not computed in half precision."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def cross_entropy(outputs: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of logits, in nats per sample."""
    return F.cross_entropy(_wide(outputs), batch[1])


def error(outputs: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, ""]:
    """Return the share of samples whose largest output is not the target, in percent."""
    targets: Tensor = batch[1]
    return 100 * outputs.argmax(1).ne(targets).double().mean()


def least_squares(outputs: Float[Tensor, "batch ..."], batch: Batch) -> Float[Tensor, ""]:
    """Return the mean over the samples of the squared error, summed over the outputs.

    Raises:
        DataError: when outputs and targets differ in shape.
    """
    targets: Tensor = batch[1]
    if outputs.shape != targets.shape:
        raise DataError(f"outputs of shape {tuple(outputs.shape)}, but targets of shape {tuple(targets.shape)}")
    return (_wide(outputs) - targets).square().sum() / len(targets)


def classification(
    module: nn.Module,
    data: Dataset,
    metadata: Mapping[str, str] | None = None,
    *,
    batch: int = 128,
    evaluation_batch: int = 250,
) -> Task:
    """Return the task of naming the class of each input: cross-entropy, and top-1 "error" in percent.

    Args:
        module: inputs → logits (batch, classes).
        data: with labels for targets.
        metadata: see `laconic.models.nets.identity`.
        batch: samples per training batch.
        evaluation_batch: samples per batch of the other splits.
    """
    batches = _batches(data, batch, evaluation_batch)
    return Task(module, batches, cross_entropy, {"error": error}, dict(metadata or {}))


def regression(
    module: nn.Module,
    data: Dataset,
    metadata: Mapping[str, str] | None = None,
    *,
    batch: int = 128,
    evaluation_batch: int = 250,
) -> Task:
    """Return the task of predicting targets of the outputs' shape by least squares; arguments as `classification`."""
    return Task(module, _batches(data, batch, evaluation_batch), least_squares, {}, dict(metadata or {}))


def _batches(data: Dataset, size: int, evaluation_size: int) -> Callable[[str, int], Iterable[Batch]]:
    """Return the function of split and seed that a task takes its batches from."""
    return lambda split, seed: data.batches(split, seed, size if split == "train" else evaluation_size)
