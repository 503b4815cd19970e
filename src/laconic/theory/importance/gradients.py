"""Squares of per-sample gradients, summed over directions at the outputs: the engine under every diagonal."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from laconic.models.params import Params
from laconic.theory.importance.directions import Directions, signs
from laconic.theory.importance.layers import Call, layer_sums, run, written_gradients
from laconic.theory.importance.reading import (
    Watch,
    first_rows,
    leaves_of,
    once,
    outputs_of,
    read,
    wide,
)
from laconic.training.batches import Batch, rows_of, size_of
from laconic.training.task import Task, mode

_PASSES = 256
"""Samples times directions of one piece."""

_TOGETHER = 16
"""Most directions of one piece, where their squares may be added up one by one."""

_ELEMENTS = 2**25
"""Elements of per-sample gradients in memory at a time, for weights of no known layer."""


def squared_gradients(
    task: Task,
    params: Params,
    directions: Directions,
    *,
    order: int = 1,
    names: Collection[str] | None = None,
    samples: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Tensor]:
    """Return `E_x[(Σ_k (∂⟨b_k(x), f(x)⟩/∂w_i)²)^order]` of every parameter.

    The module is in evaluation mode: BatchNorm that mixes samples leaves no gradient to one of them. Weights of linear
    layers, convolutions and batch normalizations cost a backward pass to the activations for each direction and one
    product a layer; all others, and those of layers that are used in unusual ways, a pass by sample, vectorised where
    the module allows it (`torch.func.vmap`).

    Args:
        task: module and training samples.
        params: weights; importances come on their device.
        directions: b_k.
        order: 1, or 2 for the mean square of the diagonal.
        names: which parameters; all unless told.
        samples: how many training samples; all unless told.
        watch: told of the progress.

    Raises:
        DataError: when there are no samples, or outputs have no row for each.
        PlanError: when ``samples`` is not positive.
    """
    params = once(task, params)
    leaves = leaves_of(task, params)
    asked = leaves if names is None else {name: leaf for name, leaf in leaves.items() if name in names}
    totals = {name: torch.zeros_like(wide(leaf)) for name, leaf in asked.items()}
    count = 0
    with mode(task.module, training=False):
        few = first_rows(task, 2)
        known = _known(task, params, list(asked), few)
        rest = [name for name in asked if name not in known]
        with torch.no_grad():
            number = len(directions(outputs_of(task, params, few), few))
        together = max(1, min(number, _TOGETHER) if order == 1 else number)
        for batch in read(task, max(1, _PASSES // together), samples, watch):
            count += size_of(batch)
            outputs, calls = run(task, _tracked(task, params) if known else params, batch)
            for ways in torch.split(directions(outputs.detach(), batch).detach(), together):
                _add_layers(totals, outputs, calls, ways, known, order)
                _add_rest(totals, task, params, rest, batch, ways, order)
    return {name: total / count for name, total in totals.items()}


def _add_layers(
    totals: dict[str, Tensor], outputs: Tensor, calls: list[Call], ways: Tensor, known: set[str], order: int
) -> None:
    """Add the sums of the parameters whose layers tell them."""
    calls = [call for call in calls if call.weight in known or call.bias in known]
    gradients = written_gradients(outputs, calls, ways) if calls else []
    for call, *written in zip(calls, *gradients, strict=True):
        parts = [part for part in written if part is not None]
        sums = layer_sums(call, torch.stack(parts, 1), order) if parts else {}
        for name in sums.keys() & known:
            totals[name] += sums[name]


def _add_rest(
    totals: dict[str, Tensor], task: Task, params: Params, rest: list[str], batch: Batch, ways: Tensor, order: int
) -> None:
    """Add the sums of all other parameters, as many samples at a time as memory is for."""
    elements = len(ways) * sum(params[name].numel() for name in rest)
    rows = max(1, _ELEMENTS // max(1, elements))
    for start in range(0, size_of(batch), rows) if rest else ():
        piece, some = rows_of(batch, start, start + rows), ways[:, start : start + rows]
        for name, each in sample_gradients(task, params, rest, piece, some).items():
            totals[name] += each.square().sum(1).pow(order).sum(0)


def sample_gradients(
    task: Task, params: Params, names: Collection[str], batch: Batch, directions: Tensor
) -> dict[str, Tensor]:
    """Return `∂⟨b_k, f(x_n)⟩/∂w`, shape (samples, directions, *the parameter's), in float32 at least.

    Args:
        task: its module is in evaluation mode.
        params: every weight.
        names: parameters to differentiate by.
        batch: samples.
        directions: b, shape (directions, samples, ...).
    """
    leaves = {name: params[name].detach() for name in names}
    rest = {name: tensor.detach() for name, tensor in params.items() if name not in leaves}

    def one(inputs: Any, ways: Tensor) -> dict[str, Tensor]:
        sample = (_row(inputs), torch.empty(0))
        pullback: tuple[Any, ...] = torch.func.vjp(lambda leaves: task.outputs({**rest, **leaves}, sample), leaves)
        outputs, pull = pullback
        gradients: dict[str, Tensor] = torch.func.vmap(lambda way: pull(way.unsqueeze(0).to(outputs.dtype))[0])(ways)
        return gradients

    ways = directions.transpose(0, 1)
    try:
        pullback = torch.func.vmap(one)(batch[0], ways)
    except RuntimeError:  # control flow that looks at values: a loop is slow, but asks nothing of the module
        each = [one(_alone(batch[0], n), way) for n, way in enumerate(ways)]
        pullback = {name: torch.stack([gradients[name] for gradients in each]) for name in leaves}
    return {name: wide(gradient) for name, gradient in pullback.items()}


def _row(inputs: Any) -> Any:
    """Return the inputs of one sample as a batch of one."""
    return tuple(part.unsqueeze(0) for part in inputs) if isinstance(inputs, tuple) else inputs.unsqueeze(0)


def _alone(inputs: Any, n: int) -> Any:
    """Return the inputs of sample n without the axis of samples."""
    return tuple(part[n] for part in inputs) if isinstance(inputs, tuple) else inputs[n]


def _tracked(task: Task, params: Params) -> dict[str, Tensor]:
    """Return ``params`` with gradients on, so that what layers write has a graph."""
    leaves = leaves_of(task, params)
    return {name: t.detach().requires_grad_(name in leaves) for name, t in params.items()}


def _known(task: Task, params: Params, names: list[str], few: Batch) -> set[str]:
    """Return the parameters whose layers tell their per-sample gradients.

    A layer may be called twice, share its weight, read its samples along another axis or be of a class that does
    more than it says. So none is taken at its word: on two samples its sums must be those of a loop over samples.
    """
    tracked = _tracked(task, params)
    outputs, calls = run(task, tracked, few)
    ways = signs((2, *outputs.shape), outputs, torch.Generator().manual_seed(0))
    expected = {name: torch.zeros_like(wide(tracked[name])) for name in names}
    for n in range(len(outputs)):
        alone = outputs_of(task, tracked, rows_of(few, n, n + 1))
        for way in ways:
            leaves = [tracked[name] for name in names]
            own_gradients = torch.autograd.grad(
                alone[0], leaves, way[n], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for name, gradient in zip(names, own_gradients, strict=True):
                expected[name] += wide(gradient).square()
    calls = [call for call in calls if call.edge is not None and len(call.read) == len(outputs)]
    gradients = written_gradients(outputs, calls, ways) if calls else []
    known: set[str] = set()
    for call, *written in zip(calls, *gradients, strict=True):
        parts = [part for part in written if part is not None]
        sums = layer_sums(call, torch.stack(parts, 1), 1) if parts else {}
        known |= {name for name, total in sums.items() if name in expected and _agree(total, expected[name], outputs)}
    uses = [name for call in calls for name in (call.weight, call.bias)]
    return {name for name in known if uses.count(name) == 1}


def _agree(gradient: Tensor, expected: Tensor, outputs: Tensor) -> bool:
    """Return whether two tensors are the same up to what the precision of the outputs leaves."""
    tolerance = 4 * torch.finfo(outputs.dtype).eps ** 0.5
    return bool((gradient - expected).norm() <= tolerance * expected.norm())
