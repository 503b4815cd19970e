"""The diagonal of the loss's Hessian by differentiating twice: exact on small networks, by random signs on any."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.theory.importance.directions import signs
from laconic.theory.importance.reading import Watch, leaves_of, once, outputs_of, read, wide
from laconic.training.batches import Batch, size_of
from laconic.training.task import Task, mode

LARGEST = 20_000
"""Most weights that `exact_diagonal` takes: it makes a Hessian-vector product for each."""

_UNITS = 64
"""Hessian-vector products at a time."""

_ROWS = 128
"""Samples of one piece."""


def exact_diagonal(
    task: Task, params: Params, *, order: int = 1, samples: int | None = None, watch: Watch | None = None
) -> dict[str, Tensor]:
    """Return `E[∇²_ii L]`, or `E[(∇²_ii L)²]` of each sample's, by the product of H and every unit vector.

    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> exact_diagonal(task, params_of(module))["weight"]
    tensor([[10.,  4.]])

    Args:
        task: its loss must be the mean over the samples of a batch, and can be differentiated twice.
        params: weights of the network, at most `LARGEST` of them.
        order: 1, or 2 for the mean square.
        samples: how many training samples; all unless told.
        watch: told of the progress.

    Raises:
        PlanError: when the network is larger, or ``samples`` is not positive.
        DataError: when there are no samples.
    """
    params = once(task, params)
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves_of(task, params).items()}
    size = sum(leaf.numel() for leaf in leaves.values())
    if size > LARGEST:
        raise PlanError(f"the exact Hessian takes at most {LARGEST} weights, not {size}; use 'ggn' or 'hutchinson'")
    totals = {name: torch.zeros_like(wide(leaf.detach())) for name, leaf in leaves.items()}
    count = 0
    with mode(task.module, training=False):
        for batch in read(task, _ROWS if order == 1 else 1, samples, watch):
            count += size_of(batch)
            for name, diagonal in _diagonal(task, params, leaves, batch).items():
                totals[name] += size_of(batch) * diagonal.pow(order)
    return {name: total / count for name, total in totals.items()}


def _diagonal(task: Task, params: Params, leaves: Params, batch: Batch) -> dict[str, Tensor]:
    """Return the diagonal of the Hessian of one batch's mean loss; ``leaves`` have their gradients on."""
    loss = task.loss(outputs_of(task, {**params, **leaves}, batch), batch)
    slopes = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
    diagonals: dict[str, Tensor] = {}
    for (name, leaf), slope in zip(leaves.items(), slopes, strict=True):
        units = torch.eye(leaf.numel(), dtype=leaf.dtype, device=leaf.device).view(-1, *leaf.shape)
        entries = [leaf.new_zeros(0)]
        for some in torch.split(units, _UNITS) if slope.requires_grad else ():
            (products,) = torch.autograd.grad(
                slope, leaf, some, is_grads_batched=True, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            entries.append((some * products).flatten(1).sum(1))
        diagonal = torch.cat(entries) if slope.requires_grad else leaf.new_zeros(leaf.numel())
        diagonals[name] = wide(diagonal.detach().view_as(leaf))
    return diagonals


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """A diagonal that was drawn, and how far it may be off.

    Args:
        diagonal: by name; may have negative entries.
        relative_error: by name, the norm of the entries' standard errors over the norm of the entries; the chance is
            that of the random vectors, not that of the samples. Infinite where the entries are all zero and the
            errors are not.
    """

    diagonal: dict[str, Tensor]
    relative_error: dict[str, float]


def hutchinson(
    task: Task,
    params: Params,
    generator: Generator,
    *,
    draws: int = 32,
    samples: int | None = None,
    watch: Watch | None = None,
) -> Estimate:
    """Return `E_v[v ⊙ Hv]`, the diagonal of the Hessian of the mean loss by random signs v; unbiased.

    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> estimate = hutchinson(task, params_of(module), torch.Generator().manual_seed(0), draws=1000)
    >>> abs(estimate.diagonal["weight"] - torch.tensor([[10.0, 4.0]])).max() < 0.5
    tensor(True)
    >>> estimate.relative_error["weight"] < 0.02
    True

    Args:
        task: its loss must be the mean over the samples of a batch, and can be differentiated twice.
        params: weights of the network.
        generator: of the signs.
        draws: vectors for each batch, at least 2: their spread is the error.
        samples: how many training samples; all unless told.
        watch: told of the progress.

    Raises:
        PlanError: when ``draws`` or ``samples`` is too small.
        DataError: when there are no samples.

    Source: Bekas, Kokiopoulou & Saad 2007.
    """
    if draws < 2:
        raise PlanError(f"draws must be at least 2, not {draws}: a single one does not tell its error")
    params = once(task, params)
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves_of(task, params).items()}
    means = {name: torch.zeros_like(wide(leaf.detach())) for name, leaf in leaves.items()}
    variances = {name: torch.zeros_like(wide(leaf.detach())) for name, leaf in leaves.items()}
    count = 0
    with mode(task.module, training=False):
        for batch in read(task, _ROWS, samples, watch):
            size = size_of(batch)
            count += size
            loss = task.loss(outputs_of(task, {**params, **leaves}, batch), batch)
            for name, products in _products(loss, leaves, draws, generator).items():
                means[name] += size * products[0]
                variances[name] += size**2 * products[1]
    diagonal = {name: mean.detach() / count for name, mean in means.items()}
    return Estimate(diagonal, {name: _ratio(variances[name].sum().sqrt() / count, d) for name, d in diagonal.items()})


def _products(loss: Tensor, leaves: Params, draws: int, generator: Generator) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the mean of v ⊙ Hv over the draws and the variance of that mean, by name."""
    gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
    sums = {name: torch.zeros_like(wide(leaf.detach())) for name, leaf in leaves.items()}
    squares = {name: torch.zeros_like(wide(leaf.detach())) for name, leaf in leaves.items()}
    for _ in range(draws):
        vectors = [signs(tuple(leaf.shape), leaf, generator) for leaf in leaves.values()]
        curved = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g.requires_grad]
        if not curved:
            break
        slopes, ways = zip(*curved, strict=True)
        products = torch.autograd.grad(
            slopes, list(leaves.values()), ways, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for name, vector, product in zip(leaves, vectors, products, strict=True):
            entries = wide(vector * product)
            sums[name] += entries
            squares[name] += entries.square()
    return {
        name: (sums[name] / draws, (squares[name] / draws - (sums[name] / draws).square()).clamp(min=0) / (draws - 1))
        for name in leaves
    }


def _ratio(error: Tensor, diagonal: Tensor) -> float:
    """Return error over norm; 0 where there is no error."""
    return float(error / diagonal.norm()) if bool(error) else 0.0
