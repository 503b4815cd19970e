"""What the outputs are asked for: directions b_k(x) whose gradients, squared and summed, are an importance.

Every importance matrix of this room is `E_x[Jᵀ B Bᵀ J]` with J the Jacobian of the outputs by the weights and B a
matrix at the outputs of one sample. Its columns are the directions; `∇_w ⟨b_k, f_w(x)⟩` is one backward pass. Sampled
directions are columns drawn at random with `E[b bᵀ] = B Bᵀ`, so that what they give is unbiased.
"""

from collections.abc import Callable
from math import sqrt
from typing import cast

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from laconic.errors import DataError, PlanError
from laconic.theory.importance.reading import wide
from laconic.training.batches import Batch
from laconic.training.judges import KINDS, Kind, cross_entropy, least_squares
from laconic.training.task import Task

Directions = Callable[[Tensor, Batch], Tensor]
"""(outputs (samples, ...), batch) → directions (number, samples, ...), constants."""


def kind_of(task: Task, kind: str | None = None) -> Kind:
    """Return ``kind``, or that of the task, which the usual losses tell.

    Raises:
        PlanError: when neither tells.
    """
    if kind is None and task.kind:
        return task.kind
    if kind in KINDS:
        return cast("Kind", kind)
    raise PlanError(
        f"kind must be 'classification' (outputs are logits) or 'regression', not {kind!r}; give Task(..., kind=...), "
        "or leave it out where the loss tells: a cross-entropy, or a mean of squares"
    )


def of_model(
    kind: Kind, temperature: float = 1.0, draws: int | None = None, generator: Generator | None = None
) -> Directions:
    """Return the directions in which the model's own outputs are distorted: no targets are read.

    Classification: B Bᵀ is the Hessian of the Kullback-Leibler divergence by the logits, `(diag(f) − f fᵀ)/T²` with
    f = softmax(z/T); columns `√f_c (e_c − f)/T` for each class c, or `(e_y − f)/T` for labels y drawn from f.
    Regression: B = 1; a column for each output, or vectors of random signs.

    Raises:
        PlanError: when ``draws`` or ``temperature`` is not positive, or draws come without a generator.
    """
    if not temperature > 0:
        raise PlanError(f"temperature must be above 0, not {temperature}")
    source = _source(draws, generator)
    if kind == "regression":
        if temperature != 1.0:
            raise PlanError("temperature belongs to kind='classification'; a regression has none")
        return each_output(1.0) if source is None else random_signs(1.0, *source)
    return each_class(temperature) if source is None else sampled_labels(temperature, *source)


def of_curvature(task: Task, draws: int | None = None, generator: Generator | None = None) -> Directions:
    """Return a root of the loss's Hessian by the outputs: with it, `Jᵀ B Bᵀ J` is the Gauss-Newton matrix.

    Cross-entropy: that of `of_model`. Least squares: √2. Any other loss: by eigenvectors, its negative part left out.

    Raises:
        PlanError: when ``draws`` is not positive, or draws come without a generator.
    """
    source = _source(draws, generator)
    if task.loss is cross_entropy:
        return each_class(1.0) if source is None else sampled_labels(1.0, *source)
    if task.loss is least_squares:
        return each_output(sqrt(2)) if source is None else random_signs(sqrt(2), *source)
    return roots(task) if source is None else signed(roots(task), *source)


def of_loss(task: Task) -> Directions:
    """Return the gradient of each sample's loss by its outputs: one direction.

    The loss of a batch being the mean over its samples, that is the batch's gradient times its size.
    """

    def directions(outputs: Tensor, batch: Batch) -> Tensor:
        with torch.enable_grad():
            leaf = wide(outputs.detach()).requires_grad_()
            (gradient,) = torch.autograd.grad(task.loss(leaf, batch) * len(leaf), leaf)
        return gradient.unsqueeze(0)

    return directions


def each_class(temperature: float) -> Directions:
    """Return `√f_c (e_c − f)/T` for every class c."""

    def directions(outputs: Tensor, batch: Batch) -> Tensor:
        f = _probabilities(outputs, temperature)
        corners = torch.eye(f.shape[1], dtype=f.dtype, device=f.device).unsqueeze(1)
        return f.T.sqrt().unsqueeze(2) * (corners - f) / temperature

    return directions


def sampled_labels(temperature: float, draws: int, generator: Generator) -> Directions:
    """Return `(e_y − f)/(T√draws)` for labels y drawn from f."""

    def directions(outputs: Tensor, batch: Batch) -> Tensor:
        f = _probabilities(outputs, temperature)
        labels = torch.multinomial(f.to(generator.device), draws, replacement=True, generator=generator)
        corners = F.one_hot(labels.T.to(f.device), f.shape[1]).to(f.dtype)
        return (corners - f) / (temperature * sqrt(draws))

    return directions


def signed_classes(generator: Generator) -> Directions:
    """Return one direction, `Σ_c ±√f_c (e_c − f)` with random signs: what `signed` makes of `each_class` at T = 1.

    Where f is nearly sure of a class, a label drawn from it hardly ever is another one, and then counts for much; here
    every class is in every draw. Memory is that of the logits.
    """

    def directions(outputs: Tensor, batch: Batch) -> Tensor:
        f = _probabilities(outputs, 1.0)
        each = f.sqrt() * signs(tuple(f.shape), f, generator)
        return (each - f * each.sum(1, keepdim=True)).unsqueeze(0)

    return directions


def each_output(scale: float) -> Directions:
    """Return ``scale`` times the unit vector of every output."""

    def directions(outputs: Tensor, batch: Batch) -> Tensor:
        one = wide(outputs[0])
        units = scale * torch.eye(one.numel(), dtype=one.dtype, device=one.device)
        return units.view(-1, 1, *one.shape).expand(-1, *outputs.shape)

    return directions


def random_signs(scale: float, draws: int, generator: Generator) -> Directions:
    """Return ``scale/√draws`` times vectors of random signs."""
    return lambda outputs, batch: scale / sqrt(draws) * signs((draws, *outputs.shape), wide(outputs), generator)


def roots(task: Task) -> Directions:
    """Return `√λ_k u_k` for the eigenvalues λ_k > 0 and eigenvectors u_k of each sample's Hessian by the outputs."""

    def directions(outputs: Tensor, batch: Batch) -> Tensor:
        with torch.enable_grad():
            leaf = wide(outputs.detach()).requires_grad_()
            (slope,) = torch.autograd.grad(task.loss(leaf, batch) * len(leaf), leaf, create_graph=True)
            columns = [_slope(part.sum(), leaf).flatten(1) for part in slope.view(len(leaf), -1).unbind(1)]
        values, vectors = torch.linalg.eigh(torch.stack(columns, 2))
        columns_first = (vectors * values.clamp(min=0).sqrt().unsqueeze(1)).movedim(2, 0)
        stacked: Tensor = columns_first.reshape(-1, *outputs.shape)
        return stacked

    return directions


def signed(directions: Directions, draws: int, generator: Generator) -> Directions:
    """Return sums of ``directions`` with random signs, over √draws."""

    def sums(outputs: Tensor, batch: Batch) -> Tensor:
        every = directions(outputs, batch)
        chance = signs((draws, *every.shape[:2]), every, generator)
        return torch.einsum("skn,kn...->sn...", chance, every) / sqrt(draws)

    return sums


def signs(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    """Return −1 and 1 with equal chances, drawn where the generator lives."""
    bits = torch.randint(0, 2, shape, generator=generator, device=generator.device)
    return (2 * bits - 1).to(like.device, like.dtype)


def _source(draws: int | None, generator: Generator | None) -> tuple[int, Generator] | None:
    """Return how many to draw and from what, or None for the exact sum."""
    if draws is None:
        return None
    if draws < 1 or generator is None:
        raise PlanError(
            f"draws={draws} must be at least 1 and come with a generator; leave draws out for the exact sum"
        )
    return draws, generator


def _probabilities(outputs: Tensor, temperature: float) -> Tensor:
    """Return the softmax of logits over T.

    Raises:
        DataError: when the outputs are no logits (samples, classes).
    """
    if outputs.ndim != 2:
        raise DataError(f"classification takes logits (samples, classes), not outputs of shape {tuple(outputs.shape)}")
    return torch.softmax(wide(outputs) / temperature, 1)


def _slope(value: Tensor, leaf: Tensor) -> Tensor:
    """Return the gradient of ``value``, zero where it does not depend on ``leaf``."""
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (slope,) = torch.autograd.grad(value, leaf, retain_graph=True, materialize_grads=True)
    return slope
