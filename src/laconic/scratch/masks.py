"""Which weights a sparse network is trained with: pruned by magnitude level by level, or drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import final

import numpy as np

from laconic.csteps.keep_largest import largest
from laconic.csteps.survivors import joined, split
from laconic.errors import PlanError
from laconic.models.params import Params, to_numpy

Masks = Mapping[str, np.ndarray]
"""By name of a weight, which of its elements stay: bool, shape (elements,), row-major."""


@final
@dataclass(frozen=True)
class Pruning:
    """How many of the weights that are left go at each level; which ones, their magnitude says.

        max over masks m ≤ m'   Σ_t Σ_i m_ti |w_ti|   subject to   Σ_i m_ti = (1 − rate_t) Σ_i m'_ti   for each tensor t

    With ``joint`` the constraint is on the sum over all tensors. Exact, by partial selection in O(P); ties go to the
    earlier weight. Counts are rounded to the nearest integer.

    Source: Frankle & Carbin, "The lottery ticket hypothesis" (ICLR 2019), section 2 and appendix G: each layer by
    itself, the layer of the outputs at half the rate; jointly, section 4.

    Args:
        rate: share of the weights left that goes at each level.
        last: the same of the last weight; unless told half of ``rate``, with ``joint`` all of it.
        rates: rates by pattern of names, of which the first that fits counts, before ``last``: 0 for weights that stay.
        joint: whether weights of all tensors are compared with each other, at one rate.

    Raises:
        PlanError: for a rate below 0, or of 1 and more; for two rates that are compared with each other.

    >>> weights = {"a": np.array([3.0, -1.0, 2.0, 0.5]), "b": np.array([5.0, 4.0])}
    >>> masks = {"a": np.ones(4, bool), "b": np.ones(2, bool)}
    >>> Pruning(0.5, last=0).pruned(weights, masks)["a"]
    array([ True, False,  True, False])
    """

    rate: float = 0.2
    last: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    joint: bool = False

    def __post_init__(self) -> None:
        for rate in (self.rate, self.last or 0.0, *self.rates.values()):
            if not 0 <= rate < 1:
                raise PlanError(
                    f"a rate is the share of the weights left that goes at a level, 0 to below 1, not {rate}"
                )
        if self.joint and any(rate not in (0, self.rate) for rate in (self.last or 0.0, *self.rates.values())):
            raise PlanError("weights that are compared with each other have one rate, or 0 for those that stay")

    def of(self, names: Sequence[str]) -> dict[str, float]:
        """Return the rate of each weight.

        Raises:
            PlanError: for a pattern that fits none.
        """
        for pattern in self.rates:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise PlanError(f"no weight is named {pattern!r}; there are {', '.join(names)}")
        last = self.last if self.last is not None else self.rate / (1 if self.joint else 2)
        usual = {name: last if name == names[-1] else self.rate for name in names}
        return {
            name: next((rate for pattern, rate in self.rates.items() if fnmatchcase(name, pattern)), usual[name])
            for name in names
        }

    def pruned(self, weights: Mapping[str, np.ndarray], masks: Masks, levels: int = 1) -> dict[str, np.ndarray]:
        """Return the masks after so many levels, all at once.

        Args:
            weights: trained, shape (elements,) each.
            masks: before.
            levels: each takes its share of what the one before has left.
        """
        scores = {name: np.where(mask, np.abs(weights[name]), -1.0) for name, mask in masks.items()}
        stay = {name: (1 - rate) ** levels for name, rate in self.of(list(masks)).items()}
        if not self.joint:
            return {name: largest(scores[name], round(float(stay[name]) * int(masks[name].sum()))) for name in masks}
        going = {name: scores[name] for name in masks if stay[name] < 1}
        count = round((1 - self.rate) ** levels * sum(int(masks[name].sum()) for name in going))
        return {**masks, **split(largest(joined(going), count), going)}


def require_masks(params: Params, masks: Masks) -> None:
    """Check that masks are those of some weights.

    Raises:
        PlanError: for one of a name, type or size that no weight has.
    """
    for name, mask in masks.items():
        if name not in params:
            raise PlanError(f"mask {name!r}: no weight has this name; there are {', '.join(params)}")
        if not (isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (params[name].numel(),)):
            given = f"{mask.dtype} of shape {tuple(mask.shape)}" if hasattr(mask, "dtype") else type(mask).__name__
            raise PlanError(f"the mask of {name} is a bool array of shape ({params[name].numel()},), not {given}")


def whole(params: Params, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return masks of which every weight stays."""
    return {name: np.ones(params[name].numel(), bool) for name in names}


def flat(params: Params, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return weights as `Pruning.pruned` takes them."""
    return {name: to_numpy(params[name]).reshape(-1) for name in names}


def density(masks: Masks) -> float:
    """Return the share of the weights that stay."""
    return sum(int(mask.sum()) for mask in masks.values()) / max(1, sum(len(mask) for mask in masks.values()))


def shuffled(masks: Masks, seed: int) -> dict[str, np.ndarray]:
    """Return masks whose elements are shuffled within each tensor: as many stay, in other places."""
    generator = np.random.default_rng(seed)
    return {name: generator.permutation(mask) for name, mask in masks.items()}


def scattered(masks: Masks, seed: int) -> dict[str, np.ndarray]:
    """Return masks with as many weights in all, drawn with equal chances over all tensors: random pruning.

    >>> drawn = scattered({"a": np.ones(4, bool), "b": np.zeros(4, bool)}, 0)
    >>> sum(int(mask.sum()) for mask in drawn.values())
    4
    """
    return split(np.random.default_rng(seed).permutation(joined(masks).astype(bool)), masks)
