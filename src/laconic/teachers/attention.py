"""Attention transfer: a network attends where its teacher does.

By activations, over pairs j of layers, one of the student and one of the teacher, with N samples and places p of maps:

    L(w) + (β/2) Σ_j 1/N Σ_n mean_p (q_S,jn − q_T,jn)_p²,    q = Q / ‖Q‖₂,   Q = Σ_c |A_c|^power

By gradients, with the gradients of each sample's own loss by its inputs x:

    L(w) + (β/2) 1/N Σ_n ‖J_S,n − J_T,n‖₂²,    J_n = ∂L_n/∂x_n

Source: Zagoruyko & Komodakis, "Paying more attention to attention" (ICLR 2017). Departures: both equations in print
have the norm where this has its square, which has a gradient at 0, too, and pulls the less the nearer the two are. By
activations the authors' program has the mean of squares as well; it multiplies it by 1,000, without the 1/2: the
default β is twice that.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.arguments import is_weight
from laconic.errors import DataError
from laconic.models.params import beside, params_of
from laconic.teachers.hidden import called, carried, carrying, first_batch, hidden_of, reading, teacher_of, tried
from laconic.teachers.teacher import Given, Teacher
from laconic.training.batches import Batch, inputs_of, size_of
from laconic.training.task import Task, mode

BETA = 2e3
"""β by activations."""

_INPUTS, _GRAPH = "∂ inputs", "∂ outputs"
"""Names, none of a layer, under which outputs carry the inputs, and themselves with the way of gradients."""


def attention_map(activations: Tensor, power: float = 2) -> Float[Tensor, "batch places"]:
    """Return where layers are active, a unit vector for each sample.

    Args:
        activations: shape (batch, channels, places, ...), as convolutions write them.
        power: of the absolute values that are summed over channels; more of it looks at the largest alone.

    >>> attention_map(torch.tensor([[[0.0, 2.0], [0.0, 0.0]]]))
    tensor([[0., 1.]])
    """
    powers = activations.square() if power == 2 else activations.abs().pow(power)  # the first takes half the time
    return F.normalize(powers.sum(1).flatten(1), dim=1)


def attentive(
    task: Task, teacher: Given, layers: Sequence[tuple[str, str]], beta: float = BETA, power: float = 2
) -> Task:
    """Return the task of which training minimises attention by activations, too; all else is the task's own.

    Args:
        task: of the student.
        teacher: whose attention it learns, as `laconic.distilled` takes one; no more of it is run than its last layer
            here.
        layers: pairs (layer of the teacher, layer of the student) with maps of the same places, a group each.
        beta: β, 0 or more.
        power: of `attention_map`.

    Raises:
        DataError: for a name that is none of a layer, for a layer that runs several times, for maps of other places,
            which are shown, for a teacher of NaN or infinity, and for bad numbers.
    """
    _require(beta, power)
    each = layers if isinstance(layers, Sequence) and not isinstance(layers, str) else []
    if not each or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in each):
        came = f"not by {layers!r}" if layers else "there are none"
        raise DataError(f"attention goes by pairs of layers, [(teacher's, student's), ...]: {came}")
    theirs, ours = zip(*layers, strict=True)
    asked = teacher_of(task, teacher)
    watched, batch = reading(task, ours, "the student"), first_batch(task)
    student = Teacher(task.module, forward=task.forward, name="the student")
    taught, own = tried(asked, batch, theirs), tried(student, batch, ours)
    for their, our in layers:
        _require_same_places(their, taught[their], our, own[our])

    names = {their: f"{their} of teacher {id(asked)}" for their in theirs}  # none of a layer, nor of another teacher

    def wanted(batch: Batch) -> dict[str, Tensor]:
        return {names[their]: attention_map(tensor, power) for their, tensor in hidden_of(asked, batch, theirs).items()}

    def forward(module: nn.Module, batch: Batch) -> Tensor:
        maps = wanted(batch) if module.training else {}  # before the student's graph takes memory: a tenth of an epoch
        return carrying(called(watched, module, batch), maps)

    def objective(outputs: Tensor, batch: Batch) -> Tensor:
        found = carried(outputs)
        maps = found if names[theirs[0]] in found else wanted(batch)
        apart = [F.mse_loss(attention_map(found[our], power), maps[names[their]]) for their, our in layers]
        return task.minimised(outputs, batch) + beta / 2 * torch.stack(apart).sum()

    return replace(watched, forward=forward, objective=objective)


def attentive_by_gradients(task: Task, teacher: Given, beta: float) -> Task:
    """Return the task of which training minimises attention by gradients, too; all else is the task's own.

    The gradients are those of the task's loss, of both networks. A step costs two backward passes of the student, one
    through the other, and one of the teacher.

    Args:
        task: of the student, called with one tensor of floats; its loss is a mean over the samples.
        teacher: as `laconic.distilled` takes one.
        beta: β, 0 or more: J is small where networks are sure, and this is in its units; there is no number for all.

    Raises:
        DataError: for a bad number, for a teacher whose gradients are not finite, and for inputs that have none.
    """
    _require(beta, 1)
    asked = teacher_of(task, teacher)
    other = replace(task, module=asked.module, forward=asked.forward)
    weights = beside(other.module, params_of(other.module) if asked.params is None else asked.params)

    def jacobian(batch: Batch) -> Tensor:
        inputs = _leaf(batch)
        with torch.enable_grad(), mode(other.module, training=False):
            loss = task.loss(other.outputs(weights, _with(batch, inputs)), batch)
        return torch.autograd.grad(loss, inputs)[0]

    if not bool(torch.isfinite(jacobian(first_batch(task))).all()):
        raise DataError(f"{asked.name} has gradients that are NaN or infinite; look at its weights")

    def forward(module: nn.Module, batch: Batch) -> Tensor:
        inputs = _leaf(batch)
        with torch.enable_grad():
            outputs = called(task, module, _with(batch, inputs))
        if torch.is_grad_enabled():
            return carrying(outputs, {_INPUTS: inputs})
        return carrying(outputs.detach(), {_INPUTS: inputs, _GRAPH: carrying(outputs, {})})

    def objective(outputs: Tensor, batch: Batch) -> Tensor:
        found, wanted = carried(outputs), jacobian(batch)
        with torch.enable_grad():
            graph = found.get(_GRAPH, outputs)
            (own,) = torch.autograd.grad(task.loss(graph, batch), found[_INPUTS], create_graph=True)
            term = (own - wanted).square().sum() * size_of(batch)  # of each sample's own loss: the batch's is a mean
        return task.minimised(outputs, batch) + beta / 2 * term

    return replace(task, forward=forward, objective=objective)


def _leaf(batch: Batch) -> Tensor:
    """Return the inputs of a batch as a tensor that gradients are taken by."""
    inputs = inputs_of(batch)
    if not (isinstance(inputs, Tensor) and inputs.is_floating_point()):
        raise DataError(f"attention by gradients goes by inputs that are one tensor of floats, not {_said(inputs)}")
    return inputs.detach().requires_grad_()


def _with(batch: Batch, inputs: Tensor) -> Batch:
    """Return a batch with other inputs."""
    return (inputs, *batch[1:]) if isinstance(batch, tuple | list) else inputs


def _said(thing: object) -> str:
    """Return what a thing is."""
    return f"{thing.dtype}" if isinstance(thing, Tensor) else f"a {type(thing).__name__}"


def _require(beta: float, power: float) -> None:
    """Raise `DataError` for numbers that are none of theirs."""
    if not is_weight(beta):
        raise DataError(f"beta, the weight of attention, is 0 or more and finite, not {beta!r}")
    if not is_weight(power) or power == 0:
        raise DataError(f"power of activations is above 0 and finite, not {power!r}")


def _require_same_places(their: str, taught: Tensor, our: str, own: Tensor) -> None:
    """Raise `DataError` unless two layers have maps of the same places."""
    shapes = f"{their!r} of the teacher writes {tuple(taught.shape)}, {our!r} of the student {tuple(own.shape)}"
    if min(taught.ndim, own.ndim) < 3:
        raise DataError(f"attention needs maps, of shape (batch, channels, places, ...), but {shapes}")
    if taught.shape[2:] != own.shape[2:]:
        raise DataError(f"attention is compared place by place, but {shapes}: name layers with maps of one size")
