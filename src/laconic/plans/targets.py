"""A plan for another machine: what has a price in time has it by that machine's profile."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from laconic.csteps.costs import Positions, ProfiledTime, Time
from laconic.csteps.profile import Profile
from laconic.plans.plan import Plan


def retargeted(plan: Plan, profile: Profile, positions: Positions, batch: int = 1) -> Plan:
    """Return the plan whose costs in time are those of ``profile``; all other costs stay.

    Args:
        plan: any.
        profile: of the machine that the network is to run on.
        positions: how each tensor is used, for rows that do not say so themselves.
        batch: inputs that are run together.

    >>> from laconic import LearnedRank
    >>> from laconic.csteps.profile import Device
    >>> device = Profile("toy", "c", "1", (1,), device=Device(call=1e-6, multiply_add=1e-9, byte=0.0, cache=1024))
    >>> plan = retargeted(Plan({"fc*": LearnedRank(2.0, ProfiledTime(None))}), device, {"fc1": 1})
    >>> plan.tensors["fc*"].cost.profile.name
    'toy'
    """

    def aimed(cost: ProfiledTime) -> ProfiledTime:
        own = cost.positions if cost.positions != 1 else positions
        return Time.of_profile(profile, own, batch)

    rows = {pattern: _changed(row, aimed) for pattern, row in plan.tensors.items()}
    return replace(plan, tensors=rows, rest=_changed(plan.rest, aimed))


def timed(plan: Plan) -> bool:
    """Say whether anything in a plan has a cost in time by a profile."""
    found = list[ProfiledTime]()

    def seen(cost: ProfiledTime) -> ProfiledTime:
        found.append(cost)
        return cost

    for row in (*plan.tensors.values(), plan.rest):
        _changed(row, seen)
    return bool(found)


def _changed(part: Any, change: Callable[[ProfiledTime], ProfiledTime]) -> Any:
    """Return a compression, or a part of one, with every cost in time changed; what has none is the same object."""
    if isinstance(part, ProfiledTime):
        return change(part)
    if isinstance(part, tuple):
        inner = tuple(_changed(one, change) for one in part)
        return inner if any(new is not old for new, old in zip(inner, part, strict=True)) else part
    if isinstance(part, Mapping) or not is_dataclass(part) or isinstance(part, type):
        return part
    own = {field.name: getattr(part, field.name) for field in fields(part) if field.init}
    new = {name: _changed(value, change) for name, value in own.items()}
    altered = {name: value for name, value in new.items() if value is not own[name]}
    return replace(part, **altered) if altered else part
