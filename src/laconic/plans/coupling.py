"""Groups of weights that go together over several tensors: a filter, its bias, its norm, and all that reads it."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from laconic.csteps.compression import Compression
from laconic.csteps.coupled import ChannelSet, Coupling
from laconic.csteps.joint import Joint
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import Support
from laconic.errors import NETWORK_ERRORS, DataError, PlanError, listed
from laconic.models.channels.atoms import Slot
from laconic.models.channels.trace import traced
from laconic.models.params import params_of, unwrapped
from laconic.models.ties import untied
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan, Row

_LOG = logging.getLogger(__name__)

_AXES = {"filters": 0, "neurons": 0, "channels": 1}
"""Kind of group → the axis that it is an index of."""


class Coupled(NamedTuple):
    """Channels that are alike: each lies in the same tensors, along the same axes.

    Args:
        axes: (tensor, axis) of a channel, sorted.
        channels: of each channel its slots, in the order in which they were found.
    """

    axes: tuple[tuple[str, int], ...]
    channels: tuple[tuple[Slot, ...], ...]


def groups_of(module: nn.Module, example: Any) -> tuple[Coupled, ...]:
    """Return the channels that one run of a module couples, but those that cannot be removed.

    Args:
        module: the network.
        example: a tensor, a tuple of arguments, or a mapping with their names.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [(group.axes, len(group.channels)) for group in groups_of(net, torch.ones(1, 3))]
    [((('0.bias', 0), ('0.weight', 0), ('2.weight', 1)), 4)]
    """
    named = dict(example) if isinstance(example, Mapping) else {}
    inputs = () if isinstance(example, Mapping) else example if isinstance(example, list | tuple) else (example,)
    seen = traced(unwrapped(module), inputs, named)
    own = dict(unwrapped(module).named_parameters())
    alike: dict[tuple[tuple[str, int], ...], list[tuple[Slot, ...]]] = defaultdict(list)
    for root, slots in seen.sets.items():
        moving = tuple(slot for slot in slots if slot.name in own)
        if root not in seen.pinned and moving:
            alike[tuple(sorted({(slot.name, slot.axis) for slot in moving}))].append(moving)
    return tuple(Coupled(axes, tuple(channels)) for axes, channels in alike.items())


def coupled(plan: Plan, module: nn.Module, example: Any) -> Plan:
    """Return the plan in which rows that keep a share of filters or channels empty what goes together at once.

    Of each set of coupled channels that a row touches so many stay as its share says, one at least: those of largest
    ‖w‖² (or ‖w‖₁, ``score="l1"``) over all tensors that they lie in; by ``score="activity"`` those that are most often
    not 0, which `laconic.measured` has counted before. The LC algorithm chooses anew in each C step, by the points that
    it projects and, with an importance, by Σ h w². Biases and norms come along, so that what is emptied is 0 and
    `Result.shrink` removes it. What is on no row and goes along with nothing stays on none, so that a budget may have
    it.

    Args:
        plan: rows of `KeepGroups` with a share of filters, neurons or channels, and others.
        module: the network, with the weights to choose by.
        example: what it runs on: a tensor, a tuple of arguments, or a mapping with their names.

    Raises:
        PlanError: when no row keeps such a share of what can be removed, two rows want different shares of one set of
            channels, an activity has not been measured, or what goes along is on a row of another compression.
        DataError: when the network does not run on the example.
    """
    whole = untied(params_of(unwrapped(module)), unwrapped(module))
    params, rows = whole.params, plan.on(unwrapped(module)).resolve(whole.params, whole.names)
    try:
        groups = groups_of(module, example)
    except NETWORK_ERRORS as error:
        raise DataError(f"the network does not run on the example: {type(error).__name__}: {error}") from error
    coupling = _sets(rows, groups)
    chosen = {name for one in coupling.sets for name in one.names}
    taken = {name for row in rows for name in row.names if _pruning(row.compression)}
    if not taken:
        raise PlanError("no row of the plan keeps a share of filters, neurons or channels: there is nothing to couple")
    if alone := [name for name in taken if name not in chosen]:
        said = f"{listed(sorted(alone))}: the run on the example shows no filters or channels that could be removed"
        if len(alone) == len(taken):
            raise PlanError(
                f"{said}: they are outputs, or weights that a parametrization makes of others; leave it out"
            )
        _LOG.warning("%s; these stay as they are", said)
    stray = {n: r.compression for r in rows for n in r.names if n in chosen and n not in taken}
    for name, compression in stray.items():
        if not isinstance(compression, Lossless):
            raise PlanError(
                f"{name} goes along with filters that are pruned, but is on a row of {type(compression).__name__}: put "
                "it on the row of the filters, or on none"
            )
    masks, settled = coupling.masks(params), dict[str, Compression]()
    for number, row in enumerate(rows):
        for names, compression in _rows(row, coupling, masks):
            if number < len(plan.tensors) or masks.keys() & {*names}:
                settled[", ".join(map(fnmatch_escape, names))] = compression
    return replace(plan, tensors=settled)


def _rows(row: Row, coupling: Coupling, masks: Mapping[str, np.ndarray]) -> list[tuple[list[str], Compression]]:
    """Return pairs of names and the compression of them, which a row becomes."""
    pruning = _pruning(row.compression)
    inside = [name for name in row.names if name in masks]
    outside = [name for name in row.names if name not in masks]
    values = pruning.values if pruning else Lossless()

    def keeping(names: list[str]) -> KeepLargest:
        support = Support.where({name: masks[name] for name in names})
        return KeepLargest(support=support, values=values, coupling=coupling.of(names))

    made: list[tuple[list[str], Compression]] = [([name], keeping([name])) for name in inside]
    if isinstance(row.compression, Joint) and inside:
        made = [(inside, Joint(keeping(inside)))]
    return made + ([(outside, Lossless() if pruning else row.compression)] if outside else [])


def _pruning(compression: Compression) -> KeepGroups | None:
    """Return what keeps a share of groups that can be coupled, or None."""
    inner = compression.of if isinstance(compression, Joint) else compression
    return inner if isinstance(inner, KeepGroups) and inner.groups.kind in _AXES and inner.keep is not None else None


def _sets(rows: tuple[Row, ...], groups: tuple[Coupled, ...]) -> Coupling:
    """Return the sets of channels that rows touch, with how many of them stay."""
    wanted = {(n, _AXES[p.groups.kind]): p for row in rows for n in row.names if (p := _pruning(row.compression))}
    sets = list[ChannelSet]()
    for group in groups:
        asked = {axis: wanted[axis] for axis in group.axes if axis in wanted}
        shares = {pruning.keep for pruning in asked.values()}
        if len(shares) > 1:
            names = ", ".join(name for name, _ in asked)
            raise PlanError(
                f"{names} have channels that go together, but shares of {sorted(map(str, shares))}: say one"
            )
        if asked:
            pruning = next(iter(asked.values()))
            many = max(1, round((pruning.keep or 0) * len(group.channels)))
            sets.append(ChannelSet(group.channels, many, pruning.score, _scores(group, asked)))
    return Coupling(tuple(sets))


def _scores(group: Coupled, asked: Mapping[tuple[str, int], KeepGroups]) -> tuple[float, ...] | None:
    """Return the mean of what was measured of each channel; None where nothing was."""
    known = {axis: pruning.scores[axis[0]] for axis, pruning in asked.items() if pruning.scores}
    if not known:
        return None
    values = [[list(known[s.name, s.axis])[s.at] for s in c if (s.name, s.axis) in known] for c in group.channels]
    return tuple(sum(each) / max(1, len(each)) for each in values)
