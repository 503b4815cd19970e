"""How much training compression may cost, and how it is spent: the LC algorithm, or one of its baselines."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import final

from laconic.csteps.parametrisations import Parametrisation, Plain
from laconic.errors import PlanError
from laconic.lc.baselines import iterated_direct
from laconic.lc.beginning import begun, beside
from laconic.lc.bounds import Bound
from laconic.lc.finetune import FINE_TUNING, FineTuning
from laconic.lc.l_step import LearningStep
from laconic.lc.points import looked_at, samples_of
from laconic.lc.rivals.catalogue import RIVALS
from laconic.lc.rivals.until import Until
from laconic.lc.schedule import Adaptive, Geometric
from laconic.lc.sizes import Sizes
from laconic.lc.smallest import judged, require_met, smallest
from laconic.lc.state import LCState, budget_of, meets_bytes
from laconic.lc.steps import relaxed, relaxed_rows, run
from laconic.models.params import Params
from laconic.quantize.budget import Budget
from laconic.teachers.distillation import alike
from laconic.training.clipping import SHARE
from laconic.training.optimization import Optimization
from laconic.training.task import Task

METHODS = ("lc", "idc", "retrain", *RIVALS)
"""The LC algorithm, iterated direct compression, direct compression whose free numbers are trained, and the others."""


@final
@dataclass(frozen=True)
class Training:
    """How much training compression may cost, and how it is spent. The defaults suit networks that train at lr 0.1.

    Args:
        method: "lc"; "rounds", which prunes a little in each step and trains what is left (`laconic.lc.rivals.rounds`),
            within a size, a drop or a KL, too; or one of the baselines "idc" (iterated direct compression), "retrain"
            (direct compression, then training of what stays free), "gradual" magnitude pruning, dynamic "surgery",
            "movement" pruning, and "ste", training through rounding (`laconic.lc.rivals`).
        steps: LC steps at most, or steps of another method; LC stops before when the gap is below ``tolerance``. Where
            a price or a bound shrinks what stays, half of them choose, and the others train and compress what was
            chosen without it.
        l_step: one L step: epochs, learning rate, weight decay, optimizer; within a budget it is repeated until it has
            as many ``batches`` (`within`).
        decay: factor of the learning rate from step to step.
        pull: the first μ closes the share 1 − exp(−pull) of the gap where the loss does not resist (`Adaptive`).
        mu: the first μ itself, instead of ``pull``.
        growth: factor of μ while choices move and the gap closes.
        fast: factor of μ once they have settled.
        tolerance: gap ‖w − Δ(Θ)‖/‖w‖ at which to stop.
        augmented: augmented Lagrangian, or the quadratic-penalty method.
        finetune: training of what stays free at the end; 0 epochs for none.
        alike: share of the loss that is the divergence from the original's outputs, on the same training samples
            (`laconic.teachers.distillation`): 0 for none, 1 for nothing else.
        parametrisation: within a budget, how tensors are made of what is on the grid
            (`laconic.csteps.parametrisations`).
        batches: of an L step at least, within a budget; 400 unless told.

    Raises:
        PlanError: for a method that there is not, a share that is none, and no batches.
    """

    method: str = "lc"
    steps: int = 120
    l_step: Optimization = field(default_factory=lambda: Optimization(epochs=1))
    decay: float = 0.98
    pull: float = 0.5
    mu: float | None = None
    growth: float = 1.03
    fast: float = 1.5
    tolerance: float = 0.01
    augmented: bool = True
    finetune: Optimization = FINE_TUNING
    alike: float = 0.0
    parametrisation: Parametrisation = field(default=Plain())
    batches: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.alike <= 1:
            raise PlanError(f"alike is a share of the loss, from 0 to 1, not {self.alike}")
        if not (math.isfinite(self.decay) and self.decay > 0):
            raise PlanError(f"decay, of the learning rate from step to step, is a number above 0, not {self.decay}")
        if not (math.isfinite(self.growth) and math.isfinite(self.fast)):
            raise PlanError(f"growth of μ is a finite number, 1 or more, not {self.growth} or {self.fast}")
        if self.batches is not None and self.batches < 1:
            raise PlanError(f"an L step has 1 batch at least, not {self.batches}")
        if self.method not in METHODS:
            raise PlanError(f"method is one of {', '.join(METHODS)}, not {self.method!r}")

    def within(self, task: Task, budget: Budget) -> "Training":
        """Return the same for a budget: each L step is so long that the weights can answer to what the C step has done.

        Choices that matter change by hundreds in a C step within a budget; where the weights do not follow, the next
        one changes them back, and multipliers grow. With 12 batches an L step that is what LeNet-300-100 does on the
        1,437 digits of scikit-learn, with 400 it is not. For a drop or a KL the path of each size has a third of the
        steps, and μ grows by twice the octaves in each.

        Where parts of the network are held still (`Task.still`), gradients are clipped (`laconic.training.clipping`),
        unless the L step says how.

        Raises:
            PlanError: for a drop or a KL by another method than "lc".
        """
        a_step = max(1, self.l_step.epochs * task.count("train"))
        epochs = self.l_step.epochs * math.ceil((self.batches or _ANSWERED) / a_step)
        clip = SHARE if task.still and self.l_step.clip is None else self.l_step.clip
        how = replace(self, l_step=replace(self.l_step, epochs=epochs, clip=clip))
        if not budget.is_of_outputs:
            return how
        if self.method != "lc":
            raise PlanError(f"{budget} is met by the LC algorithm, not by method {self.method!r}: name a size")
        return replace(how, steps=math.ceil(self.steps / _SHORTER), growth=self.growth**2)

    def schedule(self, task: Task, *, within: bool = False) -> Adaptive | Geometric:
        """Return the schedule of μ; with ``mu`` not given, it goes by the number of training batches.

        Args:
            task: what is trained.
            within: whether a number of bytes is met, of the file or by a row: then nearly all weights are 0, and few
                choices that move are the ones that matter, so that μ always grows slowly.
        """
        mu = self.first_mu(task)
        if within:
            return Geometric(mu, self.growth, self.steps, self.tolerance)
        return Adaptive(mu, self.steps, self.growth, self.fast, tolerance=self.tolerance)

    def first_mu(self, task: Task) -> float:
        """Return the first μ."""
        if self.mu is not None:
            return self.mu
        time = self.l_step.epochs * task.count("train") * self.l_step.lr / (1 - _MOMENTUM)
        return self.pull / max(time, self.l_step.lr)

    def path(
        self, state: LCState, task: Task, seed: int, reference: Params, budget: Budget | None = None,
        until: Until | None = None,
    ) -> Iterator[LCState]:  # fmt: skip
        """Yield the states that ``method`` names and then those of fine-tuning, going on from ``state``.

        Within a budget (`WithinBytes`) each is looked at on the validation split, and the best of them fine-tuned.
        Where a drop or a KL is asked there is a path for each of several sizes (`laconic.lc.smallest`).

        Args:
            state: `laconic.lc.steps.start`'s, or a later one.
            task: what is trained.
            seed: of batches.
            reference: the network before, for ``alike`` and for what is asked.
            budget: that is asked, if any.
            until: what ends rounds, which nothing else heeds.

        Raises:
            PlanError: when no size, or no round, meets what is asked; it names the nearest.
        """
        of_outputs = budget is not None and budget.kl is not None  # targets would lead away from what is asked
        taught = alike(task, reference, self.alike or float(of_outputs and task.objective is None))
        if state.tuning is None and until is not None:
            for reached in until.ended(self._steps(state, taught, seed)):
                state = reached
                yield state
        elif state.tuning is None and budget and budget.is_of_outputs:
            for reached in self._search(state, taught, task, seed, budget, reference):
                state = reached
                yield state
            require_met(state)
        elif state.tuning is None:
            samples = samples_of(task) if budget_of(state) else 0
            judge = taught if self.alike == 1 else task  # what needs no targets is judged by none
            new = state.progress.step == 0 and state.best is None and self.method == "lc" and samples > 0
            given = state
            for reached in self._steps(state, taught, seed):
                if reached is not given or state.best is None:  # else it is gone on from, and has been looked at
                    state = looked_at(replace(reached, best=state.best), judge, samples)
                state, new = beside(state, judge, reference, seed) if new else state, False
                yield state
        for tuning in FineTuning.of(taught, state.chosen).states(state.tuning, self.finetune, seed, state.exchange):
            yield replace(state, tuning=tuning)

    def is_done(self, state: LCState) -> bool:
        """Tell whether ``state`` is the last of the path."""
        return state.tuning is not None and state.tuning.epoch >= self.finetune.epochs

    def _search(
        self, state: LCState, task: Task, judged_by: Task, seed: int, budget: Budget, reference: Params
    ) -> Iterator[LCState]:
        """Return the generator of the states of paths of several sizes."""
        bound = Bound.of(judged_by, reference, budget)
        if state.sizes is None:
            within = budget_of(state)
            assert within is not None, "a quality is asked of files of some size"
            weights = sum(tensor.numel() for tensor in state.multipliers.values())
            state = replace(state, sizes=Sizes(within.size, within.size + _MOST * weights // 8))
            state = begun(judged(state, judged_by, bound), judged_by, reference, budget, bound, seed)
        l_step, schedule = LearningStep(task, self.l_step, self.decay, seed), self.schedule(task, within=True)
        return smallest(state, reference, l_step, schedule, judged_by, bound, augmented=self.augmented)

    def _steps(self, state: LCState, task: Task, seed: int) -> Iterator[LCState]:
        """Return the generator of the states before fine-tuning."""
        l_step = LearningStep(task, self.l_step, self.decay, seed)
        if self.method == "retrain":
            return iter([state])
        if self.method == "idc":
            return iterated_direct(state, l_step, self.steps - state.progress.step)
        if self.method in RIVALS:
            if state.exchange is not None:
                raise PlanError(f"method {self.method!r} is for one process: leave out the exchange, or torchrun")
            return RIVALS[self.method](state, l_step, self.steps)
        return self._relaxing(state, l_step, self.schedule(task, within=meets_bytes(state)))

    def _relaxing(self, state: LCState, l_step: LearningStep, schedule: Adaptive | Geometric) -> Iterator[LCState]:
        """Yield the states of the LC algorithm, and where a price or a bound shrinks what stays, those without it.

        The choice is then made in half of the steps.
        """
        if state.choices is None:
            shrinks = relaxed_rows(state.rows, state.codes) != state.rows
            choosing = replace(schedule, steps=math.ceil(self.steps / 2)) if shrinks else schedule
            for reached in run(state, l_step, choosing, augmented=self.augmented):
                state = reached
                yield state
            begun = relaxed(state) if shrinks else None
            if begun is None:
                return
            state = begun
        rest = replace(schedule, steps=self.steps - state.began + 1)
        yield from run(state, l_step, rest, augmented=self.augmented)


_ANSWERED = 400
"""Batches of an L step within a budget at least, unless told."""

_SHORTER = 3
"""Times fewer steps has the path of each of several sizes."""

_MOST = 16
"""Bits of a weight: no search asks for more."""


_MOMENTUM = 0.9
"""Of the default optimizer: a constant gradient moves the weights by lr/(1 − momentum) a batch."""
