"""Rows that keep so many single weights of some tensors together: what surgery and movement choose among."""

from collections.abc import Sequence

from laconic.csteps.joint import Joint, together
from laconic.csteps.keep_largest import KeepLargest
from laconic.errors import PlanError, listed
from laconic.lc.state import LCState
from laconic.plans.plan import Row


def kept_largest(state: LCState, method: str) -> tuple[Row, ...]:
    """Return the rows of a state, all of which keep a share or a number of single weights.

    Raises:
        PlanError: for another row.
    """
    for row in state.rows:
        inner = _inner(row)
        if not isinstance(inner, KeepLargest) or inner.support is not None:
            raise PlanError(
                f"{listed(row.names)}: method {method!r} prunes single weights: give a share, as keep = 0.05, not "
                f"{type(inner).__name__}{' of filters or channels' if isinstance(inner, KeepLargest) else ''}"
            )
    return state.rows


def ranked(state: LCState, rows: Sequence[Row]) -> list[tuple[list[str], int]]:
    """Return the tensors that compete with each other, and how many of their weights stay."""
    found = []
    for row in rows:
        inner = _inner(row)
        assert isinstance(inner, KeepLargest), "single weights are ranked"
        for names in together(row.compression, row.names):
            total = sum(state.weights[name].numel() for name in names)
            found.append((list(names), min(total, inner.kappa(total))))
    return found


def _inner(row: Row) -> object:
    return row.compression.of if isinstance(row.compression, Joint) else row.compression
