"""Rows that keep more than is asked, on the way there.

κ(u) = n · at(κ/n)       at(f) from 1 at u = 0 to f at u = 1, u the share of the way
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from laconic.csteps.compression import Compression
from laconic.csteps.coupled import Coupling
from laconic.csteps.joint import Joint, together
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.errors import PlanError, listed
from laconic.models.params import Params
from laconic.plans.plan import Row

At = Callable[[float], float]
"""Share that stays in the end → share that stays now."""


def geometric(way: float) -> At:
    """Return the shares by which the same part of what is left goes in each step: f^u.

    >>> [geometric(way)(0.25) for way in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.25]
    """
    return lambda share: share**way


def cubic(way: float) -> At:
    """Return the shares of Zhu & Gupta 2017, equation 1: 1 − s with s = s_f − s_f (1 − u)³, fast first.

    >>> [round(cubic(way)(0.2), 6) for way in (0.0, 0.5, 1.0)]
    [1.0, 0.3, 0.2]
    """
    return lambda share: share if way >= 1 else share + (1 - share) * (1 - way) ** 3


def thinner(rows: Sequence[Row], weights: Params, at: At, method: str) -> tuple[Row, ...]:
    """Return rows that keep as much as there should be left now.

    Args:
        rows: that keep what is asked in the end.
        weights: their tensors.
        at: see `At`.
        method: what asks, for the message.

    Raises:
        PlanError: for a row that keeps no share or number of weights, groups or channels.
    """
    new = list[Row]()
    for row in rows:
        for names in together(row.compression, row.names):
            total = sum(weights[name].numel() for name in names)
            inner = row.compression.of if isinstance(row.compression, Joint) else row.compression
            thin = _thinner(inner, total, at)
            if thin is None:
                raise PlanError(
                    f"{listed(row.names)}: method {method!r} prunes a little more in each step, which a row of "
                    f"{type(inner).__name__} cannot: give it a share, as keep = 0.05 or filters = 0.5"
                )
            new.append(Row(tuple(names), Joint(thin) if isinstance(row.compression, Joint) else thin))
    return tuple(new)


def _thinner(inner: Compression, total: int, at: At) -> Compression | None:
    """Return what keeps as much as there should be left of ``total`` weights, or None where there is no such thing."""
    if isinstance(inner, KeepLargest) and inner.coupling is not None:
        sets = (
            replace(one, stay=max(1, round(len(one.channels) * at(one.stay / len(one.channels)))))
            for one in inner.coupling.sets
        )
        return replace(inner, coupling=Coupling(tuple(sets)))
    if isinstance(inner, KeepLargest | KeepGroups) and inner.keep is not None:
        return replace(inner, keep=at(inner.keep))
    if isinstance(inner, KeepLargest) and inner.count is not None:
        return replace(inner, count=round(total * at(min(1.0, inner.count / max(1, total)))))
    if isinstance(inner, KeepGroups) and inner.budget is not None:
        return replace(inner, budget=at(inner.budget))
    return None
