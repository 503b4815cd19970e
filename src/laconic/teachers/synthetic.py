"""Inputs that a teacher makes up: they meet in its layers what its own training data met there.

    min over x   mean_l mean_c [(m_lc(x) − m̂_lc)² + (s_lc(x) − ŝ_lc)²] / ŝ_lc²   +   price · H(y, σ(f(x)))

m and s are mean and standard deviation, over a batch and its positions, of channel c of what layer l reads or writes,
m̂ and ŝ those of the training data, and y labels that are drawn. The first term is the squared Wasserstein distance of
two Gaussians, in units of the data's variance; it is solved for by Adam over all pixels of a batch.

A network with batch normalization brings m̂ and ŝ along: what each norm reads (`of_norms`). One without, such as
LeNet-300-100, has none: there the mean and the standard deviation of what a named layer writes are recorded on the
training data (`recorded`), two numbers a neuron that travel with the teacher in place of its data.

Sources: Lopes, Fenu & Starner, "Data-free knowledge distillation for deep neural networks" (2017), for recorded
statistics; Yin et al., "Dreaming to distill" (CVPR 2020), for those of norms, whose priors on images are left out.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from laconic import interrupts
from laconic.errors import DataError, PlanError
from laconic.models.params import Params, call
from laconic.teachers.hidden import require_layers
from laconic.training.loop import set_lr
from laconic.training.optimization import cosine
from laconic.training.task import Task, mode

_LEAST = 1e-3
"""Standard deviations are no less than this share of the layer's largest: a silent neuron is no aim of its own."""


@final
@dataclass(frozen=True, eq=False)
class Met:
    """What the training data meet in a layer.

    Args:
        reads: whether it is of what the layer reads, rather than of what it writes.
        mean: shape (channels,).
        deviation: shape (channels,).
    """

    reads: bool
    mean: Float[Tensor, " channels"]
    deviation: Float[Tensor, " channels"]


@final
@dataclass(frozen=True)
class Making:
    """How inputs are made up.

    Args:
        batch: inputs whose statistics are taken together, at most.
        steps: of Adam.
        lr: of Adam at first, in units of the inputs; it falls by half a cosine.
        price: of the cross-entropy of drawn labels; 0 for none.
        tolerance: of the squared distance, mean over the layers, that a batch must meet.

    Raises:
        PlanError: for numbers out of range.
    """

    batch: int = 256
    steps: int = 500
    lr: float = 0.05
    price: float = 0.1
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if self.batch < 2 or self.steps < 1 or not (self.lr > 0 and self.price >= 0 and self.tolerance > 0):
            raise PlanError("inputs are made up in batches of 2 or more, in steps, at rates and tolerances above 0")


@final
@dataclass(frozen=True, eq=False)
class Made:
    """Inputs that were made up.

    Args:
        inputs: shape (samples, ...).
        labels: that were drawn for them, int64 of shape (samples,).
        apart: squared distance of the statistics of each batch.
    """

    inputs: Tensor
    labels: Tensor
    apart: tuple[float, ...]


def of_norms(module: nn.Module, params: Params) -> dict[str, Met]:
    """Return what each batch normalization has met in training.

    Raises:
        DataError: when there is none that keeps statistics.
    """
    found = dict[str, Met]()
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm) and part.running_mean is not None:
            mean, variance = (params[f"{name}.running_{key}"] for key in ("mean", "var"))
            found[name] = Met(True, mean.detach(), _floored(variance.detach().sqrt()))
    if not found:
        raise DataError("no layer has statistics of its own; record those of some layers on data: `recorded`")
    return found


def recorded(task: Task, params: Params, layers: Collection[str], split: str = "train") -> dict[str, Met]:
    """Return what the data of a split meet in some layers, by one pass: statistics of what each writes.

    Raises:
        DataError: for a name that is no layer.
    """
    sums: dict[str, list[Any]] = {name: [0.0, 0.0, 0.0] for name in layers}
    with torch.no_grad(), mode(task.module, training=False), _watched(task.module, dict.fromkeys(layers, False)) as met:
        for batch in task.batches(split, 0):
            interrupts.check()
            task.outputs(params, batch)
            for name, values in met.items():
                wide = values.double()
                new = (len(wide), wide.sum(0), wide.square().sum(0))
                sums[name] = [before + more for before, more in zip(sums[name], new, strict=True)]
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
        found[name] = Met(False, mean.float(), _floored(deviation).float())
    return found


def made_up(
    module: nn.Module,
    params: Params,
    statistics: Mapping[str, Met],
    shape: tuple[int, ...],
    samples: int,
    how: Making = Making(),
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
    say: Callable[[int], None] = lambda done: None,
) -> Made:
    """Return inputs that meet the statistics within the tolerance; they are a function of the seed.

    Args:
        module: the teacher, in evaluation mode meanwhile; outputs are logits where labels have a price.
        params: its weights.
        statistics: by name of the layer, of `of_norms` or `recorded`.
        shape: of one input.
        samples: how many, 2 or more, in batches that differ by one at most.
        how: settings.
        seed: of labels and of the noise that inputs begin as.
        bounds: least and largest value of an input; none unless told.
        say: told of the samples that are done.

    Raises:
        DataError: when the steps do not suffice, which names the distance that is left, or there is nothing to meet.
    """
    if samples < 2 or not statistics:
        raise DataError(f"{samples} inputs to meet what {len(statistics)} layers met: 2 and a layer at least")
    generator, parts, labels, apart = torch.Generator().manual_seed(seed), list[Tensor](), list[Tensor](), []
    for rows in np.array_split(np.arange(samples), -(-samples // how.batch)):  # one input alone has no deviation
        noise = torch.randn(len(rows), *shape, generator=generator)
        inputs, drawn, left = _batch(module, params, statistics, noise, how, generator, bounds)
        parts.append(inputs)
        labels.append(drawn)
        apart.append(left)
        say(int(rows[-1]) + 1)
    return Made(torch.cat(parts), torch.cat(labels), tuple(apart))


def _batch(
    module: nn.Module, params: Params, statistics: Mapping[str, Met], noise: Tensor, how: Making,
    generator: torch.Generator, bounds: tuple[float, float] | None,
) -> tuple[Tensor, Tensor, float]:  # fmt: skip
    """Return a batch, its labels, and how far its statistics are from the data's."""
    inputs, labels = noise.requires_grad_(), None
    optimizer, left = torch.optim.Adam([inputs], how.lr), math.inf
    reads = {name: one.reads for name, one in statistics.items()}
    with mode(module, training=False), _watched(module, reads) as met:
        for step in range(how.steps + 1):
            interrupts.check()
            outputs = call(module, params, (inputs,), {})
            if labels is None:
                labels = torch.randint(0, outputs.shape[1], (len(inputs),), generator=generator)
            distance = torch.stack([_apart(met[name], one) for name, one in statistics.items()]).mean()
            left = float(distance.detach())
            if step == how.steps or not math.isfinite(left):
                break
            set_lr(optimizer, how.lr * cosine(step / how.steps))
            optimizer.zero_grad()
            loss = distance + how.price * F.cross_entropy(outputs, labels) if how.price else distance
            (inputs.grad,) = torch.autograd.grad(loss, [inputs])
            optimizer.step()
            if bounds is not None:
                with torch.no_grad():
                    inputs.clamp_(*bounds)
    if not left <= how.tolerance:
        raise DataError(
            f"after {how.steps} steps the statistics of made-up inputs are {left:.3g} from the data's, not within "
            f"{how.tolerance:g}: give more steps, a higher rate, a lower price of labels, or a larger batch"
        )
    assert labels is not None, "there was a step"
    return inputs.detach(), labels, left


def _apart(values: Float[Tensor, "rows channels"], of: Met) -> Tensor:
    """Return the squared distance of a layer's statistics, mean over its channels."""
    off = (values.mean(0) - of.mean).square() + (values.std(0, correction=0) - of.deviation).square()
    return (off / of.deviation.square()).mean()


def _floored(deviation: Tensor) -> Tensor:
    """Return deviations of which none is next to nothing beside the others."""
    return deviation.clamp(min=max(float(deviation.max()) * _LEAST, torch.finfo(torch.float32).tiny))


@contextmanager
def _watched(module: nn.Module, layers: Mapping[str, bool]) -> Iterator[dict[str, Tensor]]:
    """Collect what layers read (True) or write (False), as (rows, channels), in the mapping that is given.

    Raises:
        DataError: for a name that is no part of the network.
    """
    parts, met = dict(module.named_modules()), dict[str, Tensor]()
    require_layers(module, layers)

    def hook(name: str, reads: bool) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_: nn.Module, inputs: Any, outputs: Any) -> None:
            values: Tensor = inputs[0] if reads else outputs
            met[name] = values.movedim(1, -1).reshape(-1, values.shape[1])

        return keep

    handles = [parts[name].register_forward_hook(hook(name, reads)) for name, reads in layers.items()]
    try:
        yield met
    finally:
        for handle in handles:
            handle.remove()
