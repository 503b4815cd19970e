"""How students are taught: a task whose loss has, beside the labels, what a teacher says of the same inputs.

    L = own · L_task(y, f(x)) + share · d(f(x), z(x))

z are the teacher's logits, run anew on each batch, or computed once and kept beside the samples where these are the
same in every epoch.

Sources: `apart` of Ashok et al. 2018 (N2N), section 3.4; `softened` of Hinton, Vinyals & Dean 2015, as Polino, Pascanu
& Alistarh 2018 ("Model compression via distillation and quantization", ICLR) use it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.params import Params, call
from laconic.training.batches import Batch, Batches
from laconic.training.task import Task, mode

Logits = Float[Tensor, "batch classes"]
Distance = Callable[[Logits, Logits], Tensor]
"""(outputs, the teacher's) → mean over the batch, 0-d."""

_AT_ONCE = 500


def apart(outputs: Logits, answers: Logits) -> Float[Tensor, ""]:
    """Return `1/N Σ ‖f(x) − z‖²`, the mean squared distance of logits."""
    if outputs.shape != answers.shape:
        raise DataError(f"a student of outputs {tuple(outputs.shape)} and a teacher of {tuple(answers.shape)}")
    return (outputs - answers).square().sum(1).mean()


def softened(temperature: float) -> Distance:
    """Return `τ² H(σ(z_t/τ), σ(z_s/τ))`: the factor keeps gradients of the size that they have at τ = 1."""

    def distance(outputs: Logits, answers: Logits) -> Tensor:
        return temperature**2 * F.cross_entropy(outputs / temperature, (answers / temperature).softmax(1))

    return distance


def taught(task: Task, answers: Callable[[Batch], Logits], distance: Distance, own: float, share: float) -> Task:
    """Return the task with the teacher in its loss; measures and splits are the task's own.

    Args:
        task: of a student; its loss may be None where ``own`` is 0.
        answers: what the teacher says of a batch: `asked` or `kept`.
        distance: `apart`, or `softened`.
        own: weight of the task's own loss.
        share: weight of the distance.
    """

    def loss(outputs: Any, batch: Batch) -> Tensor:
        far = share * distance(outputs, answers(batch))
        return far + own * task.loss(outputs, batch) if own else far

    return replace(task, loss=loss)


def asked(teacher: nn.Module, params: Params) -> Callable[[Batch], Logits]:
    """Return what a teacher, in evaluation mode, says of a batch each time it comes."""

    def answers(batch: Batch) -> Logits:
        with torch.no_grad(), mode(teacher, training=False):
            said: Tensor = call(teacher, params, (batch[0],), {})
        return said

    return answers


def kept(batch: Batch) -> Logits:
    """Return the answers that a batch of `lessons` brings along."""
    said: Tensor = batch[2]
    return said


def says(teacher: nn.Module, params: Params, inputs: Float[Tensor, "samples ..."]) -> Float[Tensor, "samples classes"]:
    """Return the teacher's logits for samples in memory.

    Raises:
        DataError: when they are not finite.
    """
    answers, parts = asked(teacher, params), list[Tensor]()
    for part in torch.split(inputs, _AT_ONCE):
        interrupts.check()
        parts.append(answers((part,)))
    said = torch.cat(parts)
    if not bool(torch.isfinite(said).all()):
        raise DataError("the teacher's outputs are NaN or infinite: nothing is learned from these; look at its weights")
    return said


def lessons(inputs: Tensor, targets: Tensor, said: Tensor, size: int, count: int | None = None) -> Batches:
    """Return samples with the teacher's answers as batches (inputs, targets, answers), shuffled by the seed of a pass.

    Args:
        inputs: shape (samples, ...).
        targets: shape (samples,).
        said: shape (samples, classes).
        size: samples of a batch.
        count: batches of a pass, of fewer samples than there are, or of all of them again and again; where none is
            told, each sample comes once.
    """
    return Batches(partial(_shuffled, (inputs, targets, said), size, count), count or -(-len(inputs) // size))


def in_order(inputs: Tensor, targets: Tensor, said: Tensor, size: int = 250) -> Batches:
    """Return the same as `lessons`, each sample once, in order: what students are judged on."""
    parts = [torch.split(part, size) for part in (inputs, targets, said)]
    return Batches(lambda seed: zip(*parts, strict=True), len(parts[0]))


def _shuffled(parts: tuple[Tensor, ...], size: int, count: int | None, seed: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches of a pass."""
    generator, left = torch.Generator().manual_seed(seed), count or -(-len(parts[0]) // size)
    while left > 0:
        order = torch.randperm(len(parts[0]), generator=generator).to(parts[0].device)
        for rows in torch.split(order, size)[:left]:
            yield tuple(part[rows] for part in parts)
            left -= 1
