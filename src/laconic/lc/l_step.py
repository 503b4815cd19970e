"""The L step as ordinary training: the task's loss plus the penalty, by any torch optimizer."""

import logging
import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import final

import torch

from laconic.lc.state import LCState, QuadraticPenalty
from laconic.machines.workers import Workers
from laconic.models.params import Params, buffers_of
from laconic.training.loop import Penalty, derive_seed, minimise, trainable
from laconic.training.optimization import Optimization
from laconic.training.task import Task, mode

_LOG = logging.getLogger(__name__)

_LOOKED_AT = 8
"""Training batches on which the first step is looked at."""

_RAISED = 0.5
"""The share of its size by which what an L step lowers must have risen. LeNet-300-100 on digits and MNIST, one epoch:
at rates that train it, it falls or rises by 0.2; above them it doubles at least."""


@final
@dataclass(frozen=True, eq=False)
class LearningStep:
    """`w ← argmin L(w) + (μ/2) ‖w − Δ(Θ) − M⁻¹λ/μ‖²_M` by a few epochs of training.

    The learning rate falls from step to step and never exceeds 1/(μ max M), above which the penalty alone would make
    the iterates oscillate (Carreira-Perpiñán 2017, section 4).

    Args:
        task: gives loss and batches.
        how: epochs, learning rate at step 0, weight decay, optimizer of one L step.
        decay: factor of the learning rate from one LC step of a path to the next.
        seed: of the run; the batches of an epoch derive from (seed, step, epoch).
    """

    task: Task
    how: Optimization
    decay: float = 0.98
    seed: int = 0

    def __call__(self, state: LCState, mu: float) -> tuple[Params, float]:
        """Return the trained weights and the mean loss of the last epoch. At μ = 0 there is no penalty.

        Raises:
            WorkersError: when a rank is gone, has failed, or does not begin with the same state.
        """
        step = state.since_began.step
        how = replace(self.how, lr=self.how.lr * self.decay**step)
        seed = derive_seed(self.seed, state.progress.step)
        ranks = ranks_of(state, seed, mu)
        if mu == 0:
            return self._settled(minimise(self.task, state.weights, how, seed, gradients=ranks), ranks)
        penalty, bound = QuadraticPenalty(state, mu), 1 / (mu * state.max_importance())
        before = self._objective(state.weights, penalty) if step == 0 else math.inf
        weights, loss = self._settled(minimise(self.task, state.weights, how, seed, penalty, bound, ranks), ranks)
        if step == 0 and (after := self._objective(weights, penalty)) > before + _RAISED * abs(before):
            rate = min(how.lr, bound)
            _LOG.warning(
                "the first L step was to lower loss + penalty and has raised it from %.3g to %.3g: the learning rate "
                "%g is too large for this network; try %g (--lr, or Training(l_step=Optimization(lr=...)))",
                before, after, rate, rate / 10,
            )  # fmt: skip
        return weights, loss

    def _settled(self, reached: tuple[Params, float], ranks: Workers | None) -> tuple[Params, float]:
        """Return weights that are the same on all ranks, with the buffers of rank 0, and the loss."""
        weights, loss = reached
        return (ranks.settled(weights, buffers_of(self.task.module)) if ranks else weights), loss

    @torch.no_grad()
    def _objective(self, weights: Params, penalty: Penalty) -> float:
        """Return loss and penalty on some training batches, in evaluation mode."""
        with mode(self.task.module, training=False):
            batches = islice(self.task.batches("train", self.seed), _LOOKED_AT)
            losses = [float(self.task.minimised(self.task.outputs(weights, batch), batch)) for batch in batches]
        leaves = {name: weights[name] for name in trainable(self.task.module, weights)}
        return sum(losses) / max(1, len(losses)) + float(penalty.value(leaves))


def ranks_of(state: LCState, seed: int, mu: float) -> Workers | None:
    """Return the ranks of an L step, who begin with the same state and μ and keep nothing from one step to the next.

    What a codec has not sent is the optimizer's business, and like its momentum made anew: so a run goes on with
    another number of ranks.
    """
    if state.exchange is None:
        return None
    ranks = Workers(replace(state.exchange, seed=seed))
    groups = {"w": state.weights, "θ": state.compressed, "λ": state.multipliers, "M": state.importance}
    ranks.require_same(
        {f"{group} {name}": t for group, own in groups.items() for name, t in own.items()}, repr((seed, mu))
    )
    return ranks
