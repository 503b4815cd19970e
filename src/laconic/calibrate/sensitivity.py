"""How much the outputs of a network move with what its layers write: s, one number for each output of a weight.

Gradients are those of products with one random direction b for each row of the outputs, with E[b bᵀ] the Fisher matrix
of the row's softmax where it is logits, and 1 where it is values. In expectation they are those of −log p(y), y drawn
from the network's own softmax, but vary less (`signed_classes`). What an error D of a weight costs is taken to be
tr(diag(s) D Σ Dᵀ), about twice a Kullback-Leibler divergence in nats a sample, or a squared change of values.

    outputs   s_r = E over samples and positions of g_r², g the gradient by what is written there
    weights   the same, times the one number for which Σ_r s_r · tr Σ = E‖dL/dW‖² of a sample

The first takes errors at different positions as independent, but they are those of one D: where gradients at all
positions point one way, as below a mean over a map, they add up. The second has what the weight really adds up to, for
errors D in random directions. Products of recurrent layers are written nowhere: they have s_r = E‖dL/dW_r‖² / tr Σ by
either law.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, final

import torch
from torch import Generator, Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from laconic.calibrate.forms import columns, outputs
from laconic.calibrate.meeting import Inputs, Place, indices_that_count, tracing, uses_of
from laconic.calibrate.recursion import Form
from laconic.calibrate.samples import output_rows
from laconic.errors import PlanError
from laconic.models.params import Params, first_names
from laconic.theory.importance.columns import Convolution, windows
from laconic.theory.importance.directions import random_signs, signed_classes
from laconic.theory.importance.reading import leaves_of, once, wide
from laconic.theory.importance.recurrence import recurrent_leaf
from laconic.training.batches import tensors_in
from laconic.training.task import Task

_TALL = 4
"""Times as many outputs as columns."""

By = Literal["outputs", "weights"]
"""Which law: see above."""


@final
@dataclass(frozen=True)
class Sensitivities:
    """How much the outputs of a network move with what layers write.

    Args:
        rows: s by the name of the weight, float64, shape (outputs of the weight,).
        guessed: weights whose layers have no gradient: they have the mean of all others, or 1 where there are none.
        products: E g gᵀ in any unit, g the gradient by what is written, float32, shape (outputs, outputs): none unless
            asked for, nor of weights that are `is_tall`, nor of recurrent products, which are written nowhere.
    """

    rows: Mapping[str, Tensor]
    guessed: tuple[str, ...]
    products: Mapping[str, Tensor] = field(default_factory=dict)


@final
@dataclass(frozen=True, eq=False)
class Slopes:
    """Sums over the samples of a batch, for one weight.

    Args:
        written: Σ g² by what is written, shape (outputs,); None where nothing is.
        positions: over how many positions.
        weight: ‖dL/dW_r‖², shape (outputs,); None where it is not asked for, or there is none.
        read: Σ ‖x‖² over the positions.
        products: Σ g gᵀ by what is written, shape (outputs, outputs); None where nothing is, or not asked for.
    """

    written: Tensor | None
    positions: float
    weight: Tensor | None
    read: float
    products: Tensor | None = None

    def __add__(self, other: "Slopes") -> "Slopes":
        """Return the sums over the samples of both batches."""
        weighed = [one for one in (self, other) if one.weight is not None]
        return Slopes(
            _added(self.written, other.written), self.positions + other.positions, _added(self.weight, other.weight),
            sum(one.read for one in weighed), _added(self.products, other.products),
        )  # fmt: skip


def _added(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Return the sum of what there is."""
    return one if other is None else other if one is None else one + other


def slopes(
    task: Task, params: Params, places: Mapping[str, Place], run: Callable[[Params], Any], generator: Generator, by: By,
    *, products: bool = False, kept: Tensor | None = None,
) -> dict[str, Slopes]:  # fmt: skip
    """Return the sums of one batch, by the name of the weight.

    Args:
        task: its module, and the kind of its outputs.
        params: every parameter by its name.
        places: of the weights.
        run: params → what the module gives for the batch.
        generator: draws the directions.
        by: the law that the sums are for.
        products: whether outputs are looked at together.
        kept: which positions of the samples count, shape (samples, length); None for all.

    Raises:
        PlanError: when there is no such law.
    """
    if by not in ("outputs", "weights"):
        raise PlanError(f"sensitivities go by 'outputs' or by 'weights', not by {by!r}")
    params = once(task, params)
    leaves, uses, firsts = leaves_of(task, params), uses_of(task.module), first_names(task.module)
    tracked = {name: tensor.detach().requires_grad_(name in leaves) for name, tensor in params.items()}
    written, read = list[tuple[str, int, GradientEdge]](), dict[str, float]()

    def listen(layer: nn.Module, inputs: Inputs, output: Any) -> Any:
        before = len(written)
        for leaf, name in uses[layer][1].items():
            if name not in places or isinstance(layer, nn.Embedding) != places[name].diagonal:
                continue
            form, inner = places[name].form, recurrent_leaf(leaf) or places[name].form == "packed"
            if inner or by == "weights":
                read[name] = read.get(name, 0.0) + energy(layer, leaf, inputs, kept, form)
            told = next(tensors_in(output), None)  # of several the first is what a weight writes
            if not inner and told is not None and told.requires_grad:
                written.append((name, -1 - len(getattr(layer, "kernel_size", ())), get_gradient_edge(told)))
        # a view changed in place would lose its edge
        return output.clone() if len(written) > before and isinstance(output, Tensor) else output

    with tracing(task.module, after={layer: partial(listen, layer) for layer in uses}):
        rows, kind = output_rows(run(tracked), task.kind, kept)
        if not rows.requires_grad or not (written or read):
            return {}
        draw = signed_classes(generator) if kind == "classification" else random_signs(1.0, 1, generator)
        direction = draw(rows.detach(), None)[0].to(rows.dtype)
        own = {firsts[name]: tensor for name, tensor in tracked.items() if name in leaves}
        targets: list[Any] = [edge for *_, edge in written] + [own[name] for name in read]
        slopes_of = torch.autograd.grad(rows, targets, direction, allow_unused=True)
    found = [None if slope is None or not bool(slope.isfinite().all()) else slope for slope in slopes_of]
    of_outputs = [(name, axis, slope) for (name, axis, _), slope in zip(written, found, strict=False)]
    of_weights = dict(zip(read, found[len(written) :], strict=True))
    return {
        name: _summed(
            [(axis, slope) for own_name, axis, slope in of_outputs if own_name == name and slope is not None],
            _by_output(of_weights.get(name), places[name]),
            read.get(name, 0.0),
            products=products
            and not places[name].diagonal
            and name in own
            and not is_tall(outputs(own[name].shape, places[name].form), own[name].numel()),
            kept=kept,
        )
        for name in places
    }


def is_tall(rows: int, numbers: int) -> bool:
    """Return whether a weight has so many outputs that what these are together would take far more than itself."""
    return rows**2 > _TALL * numbers


def _by_output(slope: Tensor | None, place: Place) -> Tensor | None:
    """Return the squares of gradients by a weight, of each output; of experts as if each read what all do."""
    if slope is None:
        return None
    if place.form == "packed":
        return _squares(slope.flatten(0, 1), 0) * len(slope)
    return _squares(slope, int(place.diagonal or place.form == "turned"))


def _summed(
    written: Sequence[tuple[int, Tensor]], by_weight: Tensor | None, read: float,
    *, products: bool, kept: Tensor | None,
) -> Slopes:  # fmt: skip
    """Return the squares of gradients by what calls wrote, with their axes of outputs, beside those by the weight."""
    squares = [_squares(slope, place) for place, slope in written]
    positions = sum(slope.numel() / slope.shape[place] * _share(slope, kept) for place, slope in written)
    pairs = [_products(slope, place) for place, slope in written if products]
    both = sum(pairs[1:], pairs[0]) if pairs else None
    return Slopes(sum(squares[1:], squares[0]) if squares else None, positions, by_weight, read, both)


def _share(slope: Tensor, kept: Tensor | None) -> float:
    """Return how many of the positions of a gradient count; it is 0 at the others."""
    return 1.0 if kept is None or slope.shape[:2] != kept.shape else float(kept.double().mean())


def _squares(slope: Tensor, axis: int) -> Tensor:
    """Return the sum of squares over all axes but one, in float64."""
    flat, unit = _scaled(slope, axis)
    return flat.square().sum(1, dtype=torch.float64) * unit**2


def _products(slope: Tensor, axis: int) -> Tensor:
    """Return the sums of products over all axes but one, in float64."""
    flat, unit = _scaled(slope, axis)
    return (flat @ flat.T).double() * unit**2


def _scaled(slope: Tensor, axis: int) -> tuple[Tensor, float]:
    """Return a gradient with one axis before all others as one, divided by its largest number, and that number."""
    flat = wide(slope).movedim(axis, 0).flatten(1)
    largest = float(flat.abs().max()) if flat.numel() else 0.0
    return (flat / largest, largest) if largest > 0 else (flat, 1.0)


@torch.no_grad()
def energy(layer: nn.Module, leaf: str, inputs: Inputs, kept: Tensor | None = None, form: Form = "plain") -> float:
    """Return Σ ‖x‖² over the columns that a weight multiplies, at those positions that count."""
    if isinstance(layer, nn.Embedding):
        return float(indices_that_count(inputs, kept)[0].numel())
    if isinstance(layer, Convolution):
        squares = wide(inputs[0]).square().sum(-1 - len(layer.kernel_size), keepdim=True).expand_as(inputs[0])
        return float(windows(layer, squares)[:, 0, 0].sum(dtype=torch.float64))  # one channel, which has all of them
    own = {name: tensor for name, tensor in layer._parameters.items() if tensor is not None}
    return float(columns(layer, leaf, form, inputs, own, kept).square().sum(dtype=torch.float64))


def together(parts: Iterable[Mapping[str, Slopes]], sizes: Mapping[str, int], by: By) -> Sensitivities:
    """Return s from the sums of all batches.

    Args:
        parts: for each batch; they are taken one at a time.
        sizes: outputs of every weight, by its name.
        by: the law.
    """
    means, products, sums = dict[str, Tensor](), dict[str, Tensor](), dict[str, Slopes]()
    for part in parts:
        sums |= {name: sums[name] + one if name in sums else one for name, one in part.items()}
    for name in sizes:
        if name not in sums:
            continue
        own = sums[name]
        rows = own.written / own.positions if own.written is not None and own.positions else None
        whole = own.weight / own.read if own.weight is not None and own.read else None
        if rows is None or (by == "weights" and whole is not None and not rows.any()):
            rows = whole
        elif by == "weights" and whole is not None:
            rows = rows * (whole.sum() / rows.sum())
        if rows is not None:
            means[name] = rows
        if own.products is not None:
            products[name] = (own.products / (own.products.diagonal().mean() or 1.0)).float()
    typical = float(torch.cat(list(means.values())).mean()) if means else 1.0
    guesses = {name: torch.full((size,), typical, dtype=torch.float64) for name, size in sizes.items()}
    return Sensitivities({**guesses, **means}, tuple(name for name in sizes if name not in means), products)
