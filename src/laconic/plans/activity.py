"""Rows that rank units by how often they are not zero, with what data say of them.

    keep the κ units of largest a_c,   a_c the share of samples and places at which what reads unit c finds it not 0

It is no projection: no distance to the weights is least. A unit that speaks often may write little, and the other way
round; `laconic.training.activations.activity` counts, here its counts become the scores of rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from laconic.csteps.compression import Compression
from laconic.csteps.coupled import ChannelSet, Coupling
from laconic.csteps.joint import Joint
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.models.params import Params, params_of
from laconic.models.ties import untied
from laconic.plans.plan import Plan, Row
from laconic.training.activations import SAMPLES, activity
from laconic.training.task import Task

Counted = Mapping[tuple[str, int], Tensor]
"""(tensor, axis) → how often each unit along the axis is not 0, shape (units,)."""

_AXES = {"filters": 0, "neurons": 0, "channels": 1}


def measured(plan: Plan, task: Task, params: Params | None = None, samples: int = SAMPLES) -> Plan:
    """Return the plan whose rows with ``score="activity"`` know how often their units are not zero.

    `laconic.compress` does this where there is a task; do it by hand before `laconic.coupled`.

    Args:
        plan: rows of `KeepGroups`, and others, which stay.
        task: its module runs on training samples; without labels, whatever they are.
        params: the weights; those of the module unless given.
        samples: that are looked at, whole batches.

    Raises:
        PlanError: when the plan does not fit.
        DataError: when there are no samples, or nobody reads such a unit.

    >>> import torch
    >>> from torch import nn
    >>> from laconic import Groups
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> _ = net[0].weight.data.fill_(0), net[0].bias.data.copy_(torch.tensor([1.0, -1.0, 2.0]))
    >>> task = Task(net, [(torch.ones(4, 2), torch.ones(4, 1))], nn.MSELoss())
    >>> plan = Plan({"0.weight": KeepGroups(Groups("neurons"), keep=0.5, score="activity")})
    >>> measured(plan, task).tensors["0.weight"].scores
    {'0.weight': (1.0, 0.0, 1.0)}
    """
    if not asks_for_data(plan.tensors.values()):
        return plan
    own = untied(params_of(task.module), task.module).params if params is None else params
    rows = plan.on(task.module).resolve(own)
    scored = remeasured(rows[: len(plan.tensors)], task, own, samples)
    return replace(plan, tensors=dict(zip(plan.tensors, (row.compression for row in scored), strict=True)))


def asks_for_data(compressions: Iterable[Compression]) -> bool:
    """Say whether a compression ranks by what has not been measured."""
    return any(
        _ranks(one) and (isinstance(inner, KeepGroups) and inner.scores is None)
        for one in compressions
        for inner in [_inner(one)]
    )


def remeasured(rows: Sequence[Row], task: Task, params: Params, samples: int = SAMPLES) -> tuple[Row, ...]:
    """Return the rows with activity counted anew, of a network as it is now; arguments and errors as `measured`."""
    axes = [axis for row in rows if _ranks(row.compression) for axis in _axes(row)]
    if not axes:
        return tuple(rows)
    counted = activity(task, params, axes, samples=samples)
    return tuple(
        replace(row, compression=_scored(row.compression, row.names, counted)) if _ranks(row.compression) else row
        for row in rows
    )


def _inner(compression: Compression) -> Compression:
    return compression.of if isinstance(compression, Joint) else compression


def _ranks(compression: Compression) -> bool:
    """Say whether activity is what a compression ranks by."""
    inner = _inner(compression)
    alone = isinstance(inner, KeepGroups) and inner.score == "activity"
    return alone or any(one.score == "activity" for one in _sets(inner))


def _axes(row: Row) -> list[tuple[str, int]]:
    """Return the axes of weights along which units are counted."""
    inner = _inner(row.compression)
    if isinstance(inner, KeepGroups):
        return [(name, _AXES[inner.groups.kind]) for name in row.names]
    return [(name, 1) for one in _sets(inner) if one.score == "activity" for name in _readers(one)]


def _sets(inner: Compression) -> tuple[ChannelSet, ...]:
    """Return the sets of channels that a compression chooses among."""
    return inner.coupling.sets if isinstance(inner, KeepLargest) and inner.coupling is not None else ()


def _readers(one: ChannelSet) -> list[str]:
    """Return the weights that read a channel of a set."""
    return sorted({slot.name for channel in one.channels for slot in channel if slot.axis == 1})


def _scored(compression: Compression, names: Sequence[str], counted: Counted) -> Compression:
    """Return a compression that ranks by what was counted."""
    if isinstance(compression, Joint):
        return Joint(_scored(compression.of, names, counted))
    if isinstance(compression, KeepGroups):
        axis = _AXES[compression.groups.kind]
        return replace(compression, scores={name: counted[name, axis].tolist() for name in names})
    assert isinstance(compression, KeepLargest), "it ranks by activity"
    sets = tuple(_of_channels(one, counted) if one.score == "activity" else one for one in _sets(compression))
    return replace(compression, coupling=Coupling(sets))


def _of_channels(one: ChannelSet, counted: Counted) -> ChannelSet:
    """Return a set of channels with how active each is: the mean over what reads it."""
    shares = [[float(counted[s.name, 1][s.at]) for s in channel if s.axis == 1] for channel in one.channels]
    return replace(one, scores=tuple(sum(each) / max(1, len(each)) for each in shares))
