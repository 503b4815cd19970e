"""The order of the columns, and what the error of each is to those that come after it.

    (w − ŵ) H (w − ŵ)ᵀ = Σ_j u_j² (Σ_{i≤j} e_i G_ij)²,     e = w − ŵ,     H = U Uᵀ,   u_j = U_jj,   G_ij = U_ij / u_j

with U upper triangular: a column that comes first is charged for what its error costs when all later ones make up for
it. Columns of like u_j are coded together, for the file knows an order as classes: class by class, and within a class
as the tensor has them. O(n³).

Source: the Cholesky factor of the inverse in Frantar et al., "GPTQ" (ICLR 2023), which for H itself is Babai's nearest
plane (Chen et al., arXiv:2507.18553).
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import PlanError
from laconic.format.coding.model import MAX_CLASSES

PER_OCTAVE = 4
"""Classes of u in each factor of 2."""

DAMPING = 1e-8
"""What is added to every second moment for the factor's sake, in units of their mean: Σ may be singular."""

ORDERS = ("weakest", "strongest")
"""Which columns are coded first; or a permutation."""

_ROUNDS = 3


@final
@dataclass(frozen=True, eq=False)
class Factor:
    """A second moment factored in an order.

    Args:
        order: the column at each place, shape (n,).
        classes: of each place, not falling; within a class columns are in their own order.
        feed: G, shape (n, n), C-contiguous.
        scales: u, shape (n,).
    """

    order: np.ndarray
    classes: np.ndarray
    feed: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, moments: np.ndarray, order: str | np.ndarray = "weakest", unit: float = 1.0) -> "Factor":
        """Return the factor of ``moments``, symmetric and not negative, its columns in an order.

        "weakest" and "strongest" sort by u, which the order itself makes: found by a few rounds from the diagonal on.

        Args:
            moments: H, shape (n, n).
            order: a name of `ORDERS`, or the column at each place, shape (n,).
            unit: a u in the middle of a class.

        >>> Factor.of(np.diag([4.0, 1.0, 9.0])).order.tolist()
        [1, 0, 2]

        Raises:
            PlanError: for a name that is no order, and a permutation that has more classes than a file.
        """
        damped = moments + DAMPING * float(np.trace(moments)) / max(len(moments), 1) * np.eye(len(moments))
        if not isinstance(order, str):
            return cls._in(damped, order, _runs(order))
        if order not in ORDERS:
            raise PlanError(f"order {order!r}; give one of {', '.join(ORDERS)}, or a permutation of the columns")
        sign = -1 if order == "strongest" else 1
        marks = _marks(np.sqrt(np.diag(damped)) / unit)
        for _ in range(_ROUNDS if sign > 0 else 0):
            places = np.argsort(sign * marks, kind="stable")
            marks[places] = _marks(np.diag(_upper(damped[np.ix_(places, places)])) / unit)
        places = np.argsort(sign * marks, kind="stable")
        return cls._in(damped, places, _numbered(sign * marks[places]))

    @classmethod
    def _in(cls, damped: np.ndarray, places: np.ndarray, classes: np.ndarray) -> "Factor":
        """Return the factor in the order ``places``."""
        upper = _upper(damped[np.ix_(places, places)])
        scales = np.diag(upper).copy()
        return cls(places, classes, np.ascontiguousarray(upper / scales), scales)


def _upper(moments: np.ndarray) -> np.ndarray:
    """Return U, upper triangular, with U Uᵀ = ``moments``."""
    return np.asarray(np.linalg.cholesky(moments[::-1, ::-1])[::-1, ::-1])


def _marks(scales: np.ndarray) -> np.ndarray:
    """Return the scales in classes of an octave's fraction."""
    marks = np.rint(PER_OCTAVE * np.log2(scales)).astype(np.int64)
    return np.asarray(np.maximum(marks, int(marks.max(initial=0)) - (MAX_CLASSES - 2)))


def _numbered(marks: np.ndarray) -> np.ndarray:
    """Return the numbers from 0 on of marks that do not fall."""
    return np.asarray(np.unique(marks, return_inverse=True)[1], np.int64)


def _runs(places: np.ndarray) -> np.ndarray:
    """Return a class for each of the rising runs of a permutation."""
    classes = np.concatenate([[0], np.cumsum(np.diff(places) < 0)])[: len(places)]
    if len(places) and classes[-1] >= MAX_CLASSES - 1:
        raise PlanError(f"an order of {classes[-1] + 1} rising runs, of {MAX_CLASSES - 1} at most in a file")
    return np.asarray(classes, np.int64)
