"""What the LC algorithm is measured against, by the names the field gives them.

* direct compression: `direct`, or `start` and nothing else;
* iterated direct compression (iDC): train, compress, train from there, compress, ...; it has no penalty to hold it;
* mask and retrain (magnitude pruning, Han et al. 2015; centroid fine-tuning): `start`, then `finetune`, which never
  reconsiders a choice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from laconic import interrupts
from laconic.csteps.joint import together
from laconic.format.codes import Code
from laconic.lc.state import LCState
from laconic.lc.steps import LStep, c_step
from laconic.models.params import Params
from laconic.plans.plan import Plan, Row
from laconic.theory.metric import Metrics


def direct(params: Params, plan: Plan, metrics: Metrics | None = None) -> Iterator[dict[str, Code]]:
    """Yield the codes of direct compression, `Θ = argmin ‖w − Δ(Θ)‖²_metric`, as they are made.

    Args:
        params: the network's parameters and buffers.
        plan: what each tensor gets.
        metrics: by name, as they are: what matters less is not lifted to a floor as in the LC algorithm.

    Raises:
        PlanError: when the plan does not fit.
        WeightsError: when a tensor cannot be compressed as the plan says.
    """
    yield from projected(params, plan.resolve(params), metrics)


def projected(params: Params, rows: Iterable[Row], metrics: Metrics | None = None) -> Iterator[dict[str, Code]]:
    """Yield what `direct` does, of the tensors on these rows."""
    for row in rows:
        for names in together(row.compression, row.names):
            interrupts.check()
            yield row.compression.project({name: params[name] for name in names}, metrics)


def iterated_direct(state: LCState, l_step: LStep, steps: int) -> Iterator[LCState]:
    """Yield ``state`` and the states of iDC: `w ← train(Δ(Θ))`, `Θ ← project(w)`, ``steps`` times.

    Args:
        state: direct compression.
        l_step: called with μ = 0: the loss alone.
        steps: number of rounds.
    """
    yield state
    for _ in range(steps):
        weights, loss = l_step(replace(state, weights=state.params), 0.0)
        state = c_step(state, weights, 0.0, loss=loss, augmented=False)
        yield state
