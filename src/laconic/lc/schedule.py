"""How the penalty μ grows from one LC step to the next, and when the algorithm stops.

The path from μ → 0⁺ (direct compression) to μ → ∞ (w = Δ(Θ)) should be slow where the choices Θ makes for the weights
(assignments, mask entries) still move, and need not be where they have settled. A schedule is a pure function of
the last state's `Progress`, so that a resumed run takes the same path.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from laconic.errors import PlanError


@final
@dataclass(frozen=True)
class Progress:
    """What one LC step has come to, in the numbers that people and schedules look at.

    Args:
        step: number of C steps since direct compression, which is step 0.
        mu: penalty parameter of the last L step; 0 at direct compression.
        loss: mean loss over the last L step's batches, without the penalty; NaN at direct compression.
        gap: ‖w − Δ(Θ)‖ / ‖w‖ over the constrained tensors.
        changed: share of assignments and mask entries that the last C step changed; None where there are none.
        returned: share of the weights that were pruned before the last C step and no longer are; None where none were.
        last_gap: gap of the state before; infinite at direct compression.
        file_bytes: of the feasible network, where there is a budget.
        validation: the task's loss and measures of the feasible network on its validation split, where there is a
            budget, and the split; where a drop or a KL is asked, that, too.
        met: whether the feasible network meets the drop or the KL that is asked; None where none is.
        kept: the name of the file that the feasible network was kept in, if it was.
        calibrated: at direct compression to a size, the validation measures of calibration's file of that size, where
            it is the better one (`laconic.lc.beginning.beside`).
    """

    step: int
    mu: float
    loss: float
    gap: float
    changed: float | None
    returned: float | None
    last_gap: float = math.inf
    file_bytes: int | None = None
    validation: Mapping[str, float] | None = None
    met: bool | None = None
    kept: str | None = None
    calibrated: Mapping[str, float] | None = None


class Schedule(ABC):
    """The path of μ."""

    @abstractmethod
    def next_mu(self, progress: Progress) -> float | None:
        """Return μ of the next L step, or None when the algorithm should stop."""


@final
@dataclass(frozen=True)
class Geometric(Schedule):
    """`μ_k = first · growth^k` (Carreira-Perpiñán 2017, section 3), stopped by the number of steps or by the gap.

    Args:
        first: μ of the first L step.
        growth: factor from step to step, at least 1.
        steps: number of LC steps at most.
        tolerance: gap ‖w − Δ(Θ)‖/‖w‖ at which to stop; 0 to run all steps.

    >>> Geometric(first=1e-3, growth=2, steps=3).next_mu(Progress(2, 2e-3, 0.1, 0.5, None, None))
    0.004
    """

    first: float
    growth: float
    steps: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        _require_path(self.first, self.growth, self.steps)

    def next_mu(self, progress: Progress) -> float | None:
        """Return `first · growth^k` until steps or gap say stop."""
        if _finished(progress, self.steps, self.tolerance):
            return None
        return self.first * self.growth**progress.step


@final
@dataclass(frozen=True)
class Adaptive(Schedule):
    """Grow μ slowly while the choices move and the gap closes, fast when either has stopped, and stop by the gap.

    The first μ follows from the L step rather than from the network: over one L step of t time units (the sum of its
    learning rates over 1 − momentum) a weight that the loss does not care about closes the share `1 − exp(−μ t)` of
    its distance to Δ(Θ). ``first = pull / t`` makes that share the same for every network and every loader; a fixed
    small μ spends its first steps on nothing. When choices have settled there is nothing left to find. When the gap no
    longer closes, weights flip to and fro between two choices while their multipliers grow: only a larger μ ends it
    (the classical rule of augmented Lagrangians: Nocedal & Wright, Numerical Optimization, algorithm 17.4).

    Args:
        first: μ of the first L step.
        growth: factor while the share of changed choices is at least ``settled`` and either the gap closes or that
            share is at least ``restless``: choices that rearrange themselves may well open the gap. Where there are no
            choices, factor while the gap closes.
        fast: factor otherwise.
        settled: share of choices.
        restless: share of choices.
        steps: number of LC steps at most.
        tolerance: gap at which to stop.

    >>> schedule = Adaptive(first=1e-3, steps=100)
    >>> moving, settled = (Progress(9, 0.01, 0.1, 0.5, changed, None) for changed in (0.01, 0.0))
    >>> schedule.next_mu(moving), schedule.next_mu(settled)
    (0.0103, 0.015)
    """

    first: float
    steps: int
    growth: float = 1.03
    fast: float = 1.5
    settled: float = 5e-5
    restless: float = 3e-3
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        _require_path(self.first, self.growth, self.steps)
        _require_path(self.first, self.fast, self.steps)

    def next_mu(self, progress: Progress) -> float | None:
        """Return the last μ times the factor that the last step calls for."""
        if _finished(progress, self.steps, self.tolerance):
            return None
        if progress.step == 0:
            return self.first
        changed = progress.changed
        moving = changed is None or changed >= self.settled
        exploring = progress.gap < progress.last_gap or (changed is not None and changed >= self.restless)
        return progress.mu * (self.growth if moving and exploring else self.fast)


def _finished(progress: Progress, steps: int, tolerance: float) -> bool:
    """Tell whether the steps are used up or w has reached the feasible set."""
    return progress.step >= steps or progress.gap == 0 or (progress.step > 0 and progress.gap < tolerance)


def _require_path(first: float, growth: float, steps: int) -> None:
    """Refuse a path of μ that does not rise from a positive number."""
    if not (math.isfinite(first) and first > 0 and growth >= 1 and steps >= 0):
        raise PlanError(f"μ must start above 0 and not fall: first={first}, growth={growth}, steps={steps}")
