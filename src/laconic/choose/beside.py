"""A plan's rows in a network that is calibrated: fitted by what layers read, before anything else is quantized."""

from collections.abc import Mapping

from laconic.calibrate.compressed import Ready
from laconic.calibrate.giving import Reading, giving
from laconic.choose.ground import projected
from laconic.csteps.joint import together
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError, listed
from laconic.format.codes import Code
from laconic.models.ties import Untied
from laconic.plans.plan import Plan


def beside(ready: Ready, readings: Mapping[str, Reading], plan: Plan, network: Untied) -> Ready:
    """Return a network in which the weights on a plan's rows have their codes; all others are calibrated beside them.

    Args:
        ready: the network.
        readings: of its weights.
        plan: rows of weights; those that leave tensors lossless are heeded already.
        network: each tensor once, as the plan's patterns name it.

    Raises:
        PlanError: for a row of what is no weight that is quantized, or stays as it is.
        WeightsError: as the row's projection.
    """
    given = dict[str, Code]()
    for row in plan.resolve(network.params, network.names)[: len(plan.tensors)]:
        if isinstance(row.compression, Lossless):
            continue
        names = [ready.names[name] for name in row.names]
        if strange := [name for name, own in zip(row.names, names, strict=True) if own not in readings]:
            raise PlanError(
                f"{listed(strange)}: beside calibration a plan has rows of weights that are quantized; leave biases, "
                "norms and what stays as it is to calibration, or name them lossless"
            )
        for some in together(row.compression, names):
            weights = {name: ready.network.params[name].cpu() for name in some}
            given |= projected(row.compression, weights, {name: readings[name].metric for name in some})
    return giving(ready, {name: readings[name].given(ready.network.params, code) for name, code in given.items()})
