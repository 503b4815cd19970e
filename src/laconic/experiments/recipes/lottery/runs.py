"""The networks of one seed: tickets, their controls, LC at their densities, and small networks from scratch."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from laconic.api import compress
from laconic.csteps.groups import Groups
from laconic.csteps.joint import Joint
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.deploy.edits import Edits
from laconic.deploy.narrowing import narrow
from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.lottery.settings import Effort
from laconic.experiments.recipes.recipe import Context, Say
from laconic.experiments.recipes.reference import trained
from laconic.experiments.recipes.resumed import resumed, telling
from laconic.experiments.recipes.statement import percent
from laconic.models.nets.frankle import initialize_glorot
from laconic.models.params import Params, apply_to, params_of
from laconic.plans.plan import Plan, weights_only
from laconic.result import Result
from laconic.scratch.masks import Masks, scattered, shuffled
from laconic.scratch.narrow import Spent, from_scratch
from laconic.scratch.ticket import Ticket
from laconic.scratch.tickets import tickets, trained_masked
from laconic.training.batches import inputs_of
from laconic.training.loop import derive_seed
from laconic.training.passes import in_batches
from laconic.training.task import Task
from laconic.training.trainer import TrainState

CONTROLS = ("re-initialised", "shuffled", "random")
"""The mask of a ticket with other first weights; its first weights with the mask shuffled within each layer; its
first weights with as many places drawn over all layers."""

TICKET, LC, DENSE = "ticket", "LC", "dense, as many bytes"
TUNED, SCRATCH_E, SCRATCH_B = "pruned and fine-tuned", "Scratch-E", "Scratch-B"


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A trained network.

    Args:
        method: that it came by.
        seed: of first weights and batches.
        level: of the ticket that it stands beside; of structured pruning the place of its width.
        density: share of the weights that stay; of a narrow network of those of the wide one.
        size: bytes of its file.
        step: of the least validation loss; None where nobody looked.
        early: 1 where a test image is named wrongly at that step, shape (samples,); at the end where nobody looked.
        last: the same after the last step.
    """

    method: str
    seed: int
    level: int
    density: float
    size: int
    step: int | None
    early: np.ndarray
    last: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        named = {"method": self.method, "seed": self.seed, "level": self.level, "density": round(self.density, 6)}
        return {
            **named,
            "bytes": self.size,
            "step": self.step,
            "early": percent(self.early),
            "test": percent(self.last),
        }


@final
@dataclass(frozen=True, eq=False)
class Seed:
    """All networks of one seed.

    Args:
        task: epochs of it are as long as the effort says; its module has the first weights.
        effort: what is run.
        seed: of all of it.
        context: of its share of the work.
    """

    task: Task
    effort: Effort
    seed: int
    context: Context

    @classmethod
    def of(cls, task: Task, effort: Effort, seed: int, context: Context) -> "Seed":
        """Return it, with first weights of Glorot's normal distribution, as in the paper."""
        apply_to(task.module, first_weights(task.module, seed))
        return cls(in_batches(task, effort.every), effort, seed, context)

    def rows(self) -> list[Row]:
        """Return all rows, tickets first."""
        effort, context = self.effort, self.context
        count = 1 + len(effort.levels) + len(effort.compared) * (effort.draws + 2)
        extra = 0 if effort.learning is None else 2 * len(effort.compared) + 6 * len(effort.widths)
        levels = len(effort.levels) if not effort.at_once else effort.levels
        share = (1 + len(effort.levels)) / (count + extra)
        found = list(
            tickets(
                self.task, levels, effort.how, pruning=effort.pruning, at_once=effort.at_once, seed=self.seed,
                keep=self._keep, say=self._say(context.part(0.0, share)),
            )
        )  # fmt: skip
        rows = [self._row(TICKET, ticket) for ticket in found]
        compared = [ticket for ticket in found if ticket.level in effort.compared]
        jobs = [partial(self._controls, ticket) for ticket in compared]
        if effort.learning is not None:
            jobs += [partial(self._beside, ticket, found[0]) for ticket in compared]
            jobs += [partial(self._narrow, place, found[0]) for place in range(len(effort.widths))]
        for place, job in enumerate(jobs):
            begun = share + (1 - share) * place / len(jobs)
            rows += job(context.part(begun, begun + (1 - share) / len(jobs)))
        return rows

    def _controls(self, ticket: Ticket, context: Context) -> list[Row]:
        """Return what becomes of a ticket's mask or its first weights without the other."""
        first, level = params_of(self.task.module), ticket.level
        jobs = [("re-initialised", first_weights(self.task.module, derive_seed(self.seed, level, draw)), ticket.masks)
                for draw in range(self.effort.draws)]  # fmt: skip
        jobs += [
            ("shuffled", first, shuffled(ticket.masks, derive_seed(self.seed, level, 101))),
            ("random", first, scattered(ticket.masks, derive_seed(self.seed, level, 102))),
        ]
        rows = list[Row]()
        for place, (method, begin, masks) in enumerate(jobs):
            say = self._say(context.part(place / len(jobs), (place + 1) / len(jobs)), f"{method}, level {level}: ")

            def compute(begin: Params = begin, masks: Masks = masks, say: Say = say) -> Point:
                how, seed = self.effort.how, self.seed
                return trained_masked(self.task, begin, masks, how, seed, level=level, say=say).packed()

            point = self._keep(f"{method} {level} {place}", compute)
            rows.append(self._row(method, Ticket.unpacked(*point), place))
        return rows

    def _beside(self, ticket: Ticket, dense: Ticket, context: Context) -> list[Row]:
        """Return LC of the dense network at the density of a ticket, and a small dense network of as many bytes."""
        count = sum(int(mask.sum()) for mask in ticket.masks.values())
        plan = weights_only(Joint(KeepLargest(count=count)), dense.weights)
        label = f"seed {self.seed}: LC, level {ticket.level}"
        how = self.effort.learning
        assert how is not None, "or nobody asks for it"
        checkpoint = self.context.cache.path(f"{label}/state")

        def compute() -> Point:
            watch = telling(context.part(0.0, 0.5), label, how)
            job = {"row": label, "settings": json.dumps(self.effort.record())}
            result = resumed(dense.weights, plan, self.task, how, self.seed, checkpoint, job, watch)
            return self._judged(result.params, ticket.density, result.file_bytes)

        lc = self._figures(LC, ticket.level, compute)
        checkpoint.unlink(missing_ok=True)
        edits = as_large(self.task.module, ticket.result().file_bytes)
        return [lc, self._from_scratch(DENSE, ticket.level, edits, "epochs", context.part(0.5, 1.0))]

    def _narrow(self, place: int, dense: Ticket, context: Context) -> list[Row]:
        """Return structured pruning, fine-tuned, and what its widths come to from scratch."""
        width = self.effort.widths[place]
        *hidden, _ = dense.masks
        plan = Plan({", ".join(hidden): KeepGroups(Groups("neurons"), keep=width, score="l1")})
        example = inputs_of(next(self.task.batches("validation", 0)))[:2]
        small = compress(dense.weights, plan, effort="direct").shrink(self.task.module, example)
        assert small.shrunk is not None, "units were cut out"
        tuned = self._tuned(small, place, context.part(0.0, 0.1))
        spends: tuple[tuple[str, Spent], ...] = ((SCRATCH_E, "epochs"), (SCRATCH_B, "multiply-adds"))
        rows = [tuned]
        for at, (method, spend) in enumerate(spends):
            part = context.part(0.1 + 0.3 * at, 0.4 + 0.6 * at)
            rows.append(self._from_scratch(method, place, small, spend, part))
        return rows

    def _tuned(self, small: Result, place: int, context: Context) -> Row:
        """Return a pruned network after a quarter of the epochs at a tenth of the learning rate."""
        module = small.apply_to(copy.deepcopy(self.task.module))
        how = replace(self.effort.how, epochs=-(-self.effort.how.epochs // 4), lr=self.effort.how.lr / 10)
        task = replace(self.task, module=module)
        weights = trained(replace(context, seed=self.seed), f"seed {self.seed}: {TUNED} {place}", task, how)
        share = self._share(module)
        return self._figures(TUNED, place, lambda: self._judged(weights, share, file_bytes(weights), task))

    def _from_scratch(
        self, method: str, level: int, small: Result | Edits, spend: Spent, context: Context
    ) -> Row:  # fmt: skip
        """Return a narrow network from fresh weights."""

        def compute() -> Point:
            say, draw = self._say(context, f"{method} {level}: "), first_weights

            def watch(state: TrainState, epochs: int) -> None:
                say(state.epoch / epochs, f"epoch {state.epoch}/{epochs}, loss {state.loss:.4f}")

            ran = from_scratch(self.task, small, self.effort.how, spend, draw=draw, seed=self.seed, watch=watch)
            return self._judged(ran.weights, self._share(ran.task.module), file_bytes(ran.weights), ran.task)

        return self._figures(method, level, compute)

    def _judged(self, params: Params, density: float, size: int, task: Task | None = None) -> Point:
        """Return figures and test errors of a network, which are read this once."""
        errors = sample_by_sample(task or self.task, params, "test")["errors"]
        return {"density": density, "bytes": size}, {"errors": errors}

    def _figures(self, method: str, level: int, compute: Callable[[], Point]) -> Row:
        """Return the row of a network that was judged, computed once in the life of the folder."""
        figures, tensors = self._keep(f"{method} {level}: judged", compute)
        errors = tensors["errors"].double().numpy()
        return Row(method, self.seed, level, figures["density"], figures["bytes"], None, errors, errors)

    def _row(self, method: str, ticket: Ticket, place: int = 0) -> Row:
        """Return the row of a network with a mask: its file, and its test errors at both times."""

        def compute() -> Point:
            own = {"early": ticket.best, "last": ticket.weights}
            errors = {name: sample_by_sample(self.task, params, "test")["errors"] for name, params in own.items()}
            return {"bytes": ticket.result().file_bytes}, errors

        figures, tensors = self._keep(f"{method} {ticket.level} {place}: judged", compute)
        early, last = (tensors[name].double().numpy() for name in ("early", "last"))
        step = ticket.at * self.effort.every
        return Row(method, self.seed, ticket.level, ticket.density, figures["bytes"], step, early, last)

    def _share(self, module: nn.Module) -> float:
        """Return the weights of a module as a share of those of the wide one."""
        own, wide = (sum(t.numel() for t in one.parameters() if t.ndim >= 2) for one in (module, self.task.module))
        return own / wide

    def _keep(self, key: str, compute: Callable[[], Point]) -> Point:
        """Return a point of this seed."""
        return self.context.cache.point(f"seed {self.seed}: {key}", compute)

    def _say(self, context: Context, before: str = "") -> Callable[[float, str], None]:
        """Return what tells the progress of a network of this seed."""
        return lambda done, text: context.say(done, f"seed {self.seed}: {before}{text}")


def first_weights(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return first weights of Glorot's normal distribution, biases being 0."""
    fresh = copy.deepcopy(module)
    initialize_glorot(fresh, torch.Generator().manual_seed(seed))
    return params_of(fresh)


def file_bytes(params: Mapping[str, Tensor]) -> int:
    """Return the bytes of a file that holds weights as they are."""
    return compress(dict(params), Plan({})).file_bytes


def as_large(module: nn.Module, size: int) -> Edits:
    """Return LeNet-300-100 with fewer hidden units, three in the first layer for each in the second, in so many bytes.

    Bytes are those of a file of first weights, at least one unit in each layer.
    """
    best = widths(3, 1)
    for units in range(1, 100):
        edits = widths(3 * units, units)
        small = narrow(copy.deepcopy(module), edits)
        if file_bytes(first_weights(small, 0)) > size:
            break
        best = edits
    return best


def widths(first: int, second: int) -> Edits:
    """Return the edits that leave so many hidden units of LeNet-300-100."""
    one, two = tuple(range(first)), tuple(range(second))
    return Edits({
        "fc1.weight": {0: one}, "fc1.bias": {0: one}, "fc2.weight": {0: two, 1: one}, "fc2.bias": {0: two},
        "fc3.weight": {1: two},
    })  # fmt: skip
