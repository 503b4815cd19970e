"""Lottery tickets: train, prune by magnitude, set what stays back to its first values, train it with the mask fixed."""

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from laconic.errors import DataError, PlanError, listed
from laconic.lc.finetune import FineTuning
from laconic.models.params import Params, beside, is_float, params_of, typed_as
from laconic.scratch.kept import in_folder
from laconic.scratch.masks import Masks, Pruning, flat, require_masks, whole
from laconic.scratch.ticket import Ticket, masked_codes
from laconic.selection import Keep, Point, Say, computed
from laconic.teachers.lasting import lasting, weights_digest
from laconic.training.loop import trainable
from laconic.training.optimization import Optimization, adam
from laconic.training.passes import in_batches
from laconic.training.task import Task, samples_digest

_LOG = logging.getLogger(__name__)

PUBLISHED = Optimization(epochs=500, lr=1.2e-3, optimizer=adam)
"""Of LeNet-300-100 on MNIST, in batches of 60, epochs being 100 batches: Frankle & Carbin 2019, figure 2."""


def trained_masked(
    task: Task, first: Params, masks: Masks, how: Optimization, seed: int = 0, *, begun: int = 0, level: int = 0,
    say: Say = lambda done, text: None, watch: Callable[[int, Params], None] = lambda epoch, params: None,
) -> Ticket:  # fmt: skip
    """Train a network whose mask is fixed, and look at the validation loss after each epoch.

        min over θ   L(m ⊙ θ)

    What the optimizer moves is what stays (`laconic.lc.finetune`): the others are exact zeros throughout.

    Args:
        task: what to train on, with a validation split.
        first: weights to begin with; those that ``masks`` leave out count for nothing.
        masks: which weights stay; tensors that they do not name stay whole.
        how: the optimization. It takes no weight decay: for one give an optimizer that has it, such as
            ``lambda leaves, lr: torch.optim.SGD(leaves, lr, momentum=0.9, weight_decay=1e-4)``.
        seed: of the order of batches.
        begun: epochs of ``how`` that ``first`` has behind it: it goes on from there.
        level: of the ticket.
        say: told of the progress.
        watch: given the number of epochs and the weights after each.

    Raises:
        DataError: for a task without validation, and a validation loss that is no finite number.
        PlanError: for a weight decay, and masks that are not those of these weights.
        WeightsError: when training diverges.
    """
    task.split("validation")
    require_masks(first, masks)
    if how.weight_decay:
        raise PlanError(
            f"weight decay {how.weight_decay} is the optimizer's here: optimizer=lambda leaves, lr: "
            "torch.optim.SGD(leaves, lr, momentum=0.9, weight_decay=...)"
        )
    tuning = FineTuning.of(task, masked_codes(typed_as(task.module, first), masks))
    losses, best, at, now = list[float](), dict[str, Tensor](), begun, dict[str, Tensor]()
    state = replace(next(tuning.states(None, how, seed)), epoch=begun)
    for reached in tuning.states(state, how, seed):
        with torch.no_grad():
            weights = {**tuning.fixed, **beside(task.module, tuning.freed.weights())}
            now = {name: weights[name].clone() for name in first}
        loss = float(task.evaluate(now, "validation")["loss"])
        if not math.isfinite(loss):
            raise DataError(
                f"the validation loss after epoch {reached.epoch} is {loss}, by which no epoch is the best: look at "
                "the validation data, or lower the learning rate"
            )
        best, at = (now, reached.epoch) if loss < min(losses, default=math.inf) or not losses else (best, at)
        losses.append(loss)
        watch(reached.epoch, now)
        say(reached.epoch / max(1, how.epochs), f"epoch {reached.epoch}/{how.epochs}, validation loss {loss:.4f}")
    return Ticket(level, masks, now, best, at, tuple(losses), begun)


def tickets(
    task: Task,
    levels: int | Sequence[int] = 12,
    how: Optimization = PUBLISHED,
    *,
    every: int | None = None,
    pruning: Pruning | None = None,
    rewind: int = 0,
    at_once: bool = False,
    first: nn.Module | Params | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    keep: Keep = computed,
    say: Say = lambda done, text: None,
) -> Iterator[Ticket]:
    """Yield the dense network, trained, and then its lottery tickets, each trained to the end with its mask fixed.

    Method: iterative magnitude pruning; level l + 1 prunes what training has made of level l. ``at_once`` each level
    prunes the dense network itself. What stays goes back to the first weights, or to those after ``rewind`` epochs.

    Source: Frankle & Carbin, "The lottery ticket hypothesis: finding sparse, trainable neural networks" (ICLR 2019),
    strategy 1 of appendix B; rewinding: Frankle, Dziugaite, Roy & Carbin, "Linear mode connectivity and the lottery
    ticket hypothesis" (ICML 2020), algorithm 2. The optimizer begins anew at the rewound step.

    Args:
        task: what to train on, with a validation split; its module has the first weights.
        levels: how often to prune; or, ``at_once``, which levels to make.
        how: one training. An epoch is a pass, or ``every`` batches; after each the validation loss is looked at.
        every: batches of an epoch, drawn anew from all.
        pruning: which weights go; `Pruning()` unless told.
        rewind: epochs of the first training that tickets do not repeat.
        at_once: one-shot pruning.
        first: weights to begin with; those of the task's module unless told.
        seed: of the order of batches.
        resume: a folder for what is finished: a call with the same arguments goes on from there, level by level, and
            ends with the same bytes.
        keep: in its place, what keeps points, such as `Cache.point` of the recipes.
        say: told of the progress.

    Raises:
        DataError: for a task without validation, and a folder of another run.
        PlanError: for levels or a rewinding that cannot be, and for both ``resume`` and ``keep``.
        WeightsError: when training diverges.

    >>> x = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0))
    >>> sums = [(part, part.sum(1, keepdim=True)) for part in x]
    >>> task = Task(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)), sums, nn.MSELoss(), validation=sums)
    >>> [round(one.density, 3) for one in tickets(task, 2, Optimization(2, 0.01), pruning=Pruning(0.5))]
    [1.0, 0.536, 0.286]
    """
    several = list(levels) if isinstance(levels, Sequence) else [levels]
    if any(isinstance(one, bool) or not isinstance(one, int) for one in (*several, rewind)):
        raise PlanError(f"levels and epochs are counted by whole numbers, not {levels!r} and {rewind!r}")
    if isinstance(levels, int) and levels < 0:
        raise PlanError(f"a network is pruned 0 times or more, not {levels}")
    numbers = list(range(1, levels + 1)) if isinstance(levels, int) else sorted(set(levels))
    if (not at_once and numbers != list(range(1, len(numbers) + 1))) or min(numbers, default=1) < 1:
        raise PlanError(f"levels are 1, 2, 3 and so on; single ones, such as {levels}, go with at_once")
    if not 0 <= rewind <= how.epochs:
        raise PlanError(f"weights are rewound to an epoch of the first training, 0 to {how.epochs}, not {rewind}")
    if resume is not None and keep is not computed:
        raise PlanError("what is finished is kept in a folder (resume) or by a function (keep), not by both")
    given = params_of(first) if isinstance(first, nn.Module) else params_of(task.module) if first is None else first
    run = Lottery(task if every is None else in_batches(task, every), given, how, pruning or Pruning(), rewind, seed)
    if resume is not None:
        keep = in_folder(Path(resume), run.job(every, at_once))
    return run.path(numbers, keep, say, at_once=at_once)


@final
@dataclass(frozen=True, eq=False)
class Lottery:
    """A dense network that tickets are looked for in; arguments are those of `tickets`."""

    task: Task
    first: Params
    how: Optimization
    pruning: Pruning
    rewind: int
    seed: int

    @property
    def names(self) -> list[str]:
        """The weights: what training moves, of floats, with two or more axes."""
        moved = trainable(self.task.module, self.first)
        return [name for name in moved if self.first[name].ndim >= 2 and is_float(self.first[name])]

    def path(self, levels: Sequence[int], keep: Keep, say: Say, *, at_once: bool) -> Iterator[Ticket]:
        """Yield the dense network and the tickets."""
        if not self.names:
            raise PlanError("no tensor that training moves has two axes or more: there is no weight to prune")
        self.pruning.of(self.names)
        count = len(levels) + 1
        ticket, reset = self._dense(keep, lambda done, text: say(done / count, f"dense: {text}"))
        yield ticket
        dense = ticket
        for place, level in enumerate(levels, 1):
            before, times = (dense, level) if at_once else (ticket, 1)
            masks = self.pruning.pruned(flat(before.weights, list(before.masks)), before.masks, times)
            if gone := [name for name, mask in masks.items() if not mask.any() and before.masks[name].any()]:
                _LOG.warning("level %d leaves nothing of %s: prune less at a level", level, listed(gone))
            told = partial(_told, say, place, count, level)
            compute = partial(self._packed, reset, masks, level, told)
            ticket = Ticket.unpacked(*keep(f"level {level}{' at once' if at_once else ''}", compute))
            yield ticket

    def _dense(self, keep: Keep, say: Say) -> tuple[Ticket, Params]:
        """Return the dense network, and what tickets are reset to."""
        middle = dict[str, Tensor]()

        def watch(epoch: int, weights: Params) -> None:
            if epoch == self.rewind:
                middle.update({f"reset/{name}": tensor.cpu() for name, tensor in weights.items()})

        def compute() -> Point:
            masks = whole(self.first, self.names)
            found = trained_masked(self.task, self.first, masks, self.how, self.seed, say=say, watch=watch)
            figures, tensors = found.packed()
            return figures, {**tensors, **middle} if self.rewind else tensors

        figures, tensors = keep("level 0", compute)
        reset = {name: tensors[f"reset/{name}"] for name in self.first} if self.rewind else self.first
        return Ticket.unpacked(figures, tensors), reset

    def _packed(self, reset: Params, masks: Masks, level: int, say: Say) -> Point:
        """Return a ticket, trained."""
        how, seed = self.how, self.seed
        return trained_masked(self.task, reset, masks, how, seed, begun=self.rewind, level=level, say=say).packed()

    def job(self, every: int | None, at_once: bool) -> dict[str, str]:
        """Return what must be the same when a run goes on."""
        how = self.how
        return {
            "epochs": str(how.epochs), "lr": repr(how.lr), "every": str(every), "rewind": str(self.rewind),
            "at once": str(at_once), "pruning": repr(self.pruning), "seed": str(self.seed),
            "threads": str(torch.get_num_threads()), "first weights": weights_digest(self.first),
            "first samples": samples_digest(self.task),
            "optimizer": lasting(how.optimizer), "anneal": lasting(how.anneal),
            "task": json.dumps(dict(self.task.metadata)),
        }  # fmt: skip


def _told(say: Say, place: int, count: int, level: int, done: float, text: str) -> None:
    """Say how far a level is."""
    say((place + done) / count, f"level {level}: {text}")
