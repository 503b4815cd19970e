"""How much of something, by validation: the cheapest candidate that is as good as the best, as far as one can tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from laconic.errors import PlanError


@final
@dataclass(frozen=True, eq=False)
class Tried:
    """One value of the number that is selected, and what it has come to.

    Args:
        value: the number: values of a codebook, share, rank.
        cost: bytes of the file, the mean where there is one for each fold.
        errors: of each validation sample, or the mean of each fold, two or more of them, shape (errors,).
    """

    value: float
    cost: float
    errors: np.ndarray

    @property
    def mean(self) -> float:
        """The mean error; infinite where it is not a number."""
        mean = float(np.mean(self.errors))
        return math.inf if math.isnan(mean) else mean

    @property
    def standard_error(self) -> float:
        """That of the mean, from the spread of the errors."""
        return float(np.std(self.errors, ddof=1)) / math.sqrt(len(self.errors))

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        mean, spread = (round(one, 6) if math.isfinite(one) else None for one in (self.mean, self.standard_error))
        return {"value": self.value, "bytes": round(self.cost), "error": mean, "standard_error": spread}


def one_standard_error(candidates: Sequence[Tried]) -> tuple[int, int]:
    """Return the places of the least mean error, and of the cheapest candidate within one standard error of it.

        min over i   cost_i   subject to   mean_i ≤ mean_k + se_k,   k = argmin over i of mean_i

    The error of the winner is the least partly by chance; what is within its standard error cannot be told from it.
    Of equal means the cheaper is least, and of equal costs the one of lesser error is chosen.

    Source: Breiman, Friedman, Olshen & Stone, Classification and Regression Trees (1984), section 3.4.3; Hastie,
    Tibshirani & Friedman, The Elements of Statistical Learning (2nd edition, 2009), section 7.10.1.

    Args:
        candidates: in any order.

    Raises:
        PlanError: when there are none, one has fewer than two errors, or no error is finite.

    >>> tried = [Tried(2, 10, np.array([0, 1, 1, 1])), Tried(4, 20, np.array([0, 0, 1, 0])),
    ...          Tried(8, 40, np.array([0, 0, 0, 1])), Tried(16, 80, np.array([0, 0, 0, 0.9]))]
    >>> one_standard_error(tried)
    (3, 1)
    """
    if not candidates:
        raise PlanError("nothing to select from: give the values that are tried")
    if few := [one.value for one in candidates if len(one.errors) < 2]:
        raise PlanError(f"{few[0]:g} has one error alone, which tells no standard error: two samples or folds at least")
    places = range(len(candidates))
    least = min(places, key=lambda i: (candidates[i].mean, candidates[i].cost))
    bound = candidates[least].mean + candidates[least].standard_error
    if not math.isfinite(bound):
        raise PlanError("no value has a finite error on validation: train less fast, or try milder values")
    within = [i for i in places if candidates[i].mean <= bound]
    return least, min(within, key=lambda i: (candidates[i].cost, candidates[i].mean))


def clearly_less(one: np.ndarray, other: np.ndarray) -> bool:
    """Say whether the mean of one is below that of the other by more than twice the standard error of their difference.

    Where the two do not differ that happens by chance in one comparison of forty.

    Args:
        one: errors of samples, shape (samples,).
        other: those of the same samples, in this order.

    >>> few, many = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, 0.5])
    >>> clearly_less(few, many), clearly_less(few, few[::-1]), clearly_less(few, few)
    (True, False, False)
    """
    apart = np.asarray(other - one, np.float64)
    return len(apart) > 1 and float(apart.mean()) > 2 * float(apart.std(ddof=1)) / math.sqrt(len(apart))
