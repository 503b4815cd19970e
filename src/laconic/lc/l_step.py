"""The L step as ordinary training: the task's loss plus the penalty, by any torch optimizer."""

from dataclasses import dataclass, replace
from typing import final

from laconic.lc.state import LCState, QuadraticPenalty
from laconic.models.params import Params
from laconic.training.loop import derive_seed, minimise
from laconic.training.optimization import Optimization
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class LearningStep:
    """`w ← argmin L(w) + (μ/2) ‖w − Δ(Θ) − M⁻¹λ/μ‖²_M` by a few epochs of training.

    The learning rate falls from step to step and never exceeds 1/(μ max M), above which the penalty alone would make
    the iterates oscillate (Carreira-Perpiñán 2017, section 4).

    Args:
        task: gives loss and batches.
        how: epochs, learning rate at step 0, weight decay, optimizer of one L step.
        decay: factor of the learning rate from one LC step to the next.
        seed: of the run; the batches of an epoch derive from (seed, step, epoch).
    """

    task: Task
    how: Optimization
    decay: float = 0.98
    seed: int = 0

    def __call__(self, state: LCState, mu: float) -> tuple[Params, float]:
        """Return the trained weights and the mean loss of the last epoch. At μ = 0 there is no penalty."""
        step = state.progress.step
        how = replace(self.how, lr=self.how.lr * self.decay**step)
        seed = derive_seed(self.seed, step)
        if mu == 0:
            return minimise(self.task, state.weights, how, seed)
        bound = 1 / (mu * state.max_importance())
        return minimise(self.task, state.weights, how, seed, QuadraticPenalty(state, mu), bound)
