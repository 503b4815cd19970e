"""One candidate for each tensor, of least damage within budgets.

    min over j   Σ_t d_t(j_t)   subject to   Σ_t c_tk(j_t) ≤ budget_k   for one or two costs k

Its dual, max over λ ≥ 0 of Σ_t min_j (d_t(j) + λ·c_t(j)) − λ·budget, separates by tensors: whatever λ chooses is the
best for what it costs, a point of the convex hull (Everett 1963; Shoham & Gersho 1988). λ is found by bisection, of two
budgets one within the other. What the hull leaves of a budget is filled: first by single changes, as long as one helps,
then by branch and bound, whose bound is the same dual with some tensors decided. With enough nodes it is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import PlanError

NODES = 10_000
"""Of branch and bound, at most: beyond these the best that was found is returned."""

_HALVINGS = 60
_ROUNDING = 1e-9


@final
@dataclass(frozen=True, eq=False)
class Menus:
    """What can be chosen.

    Args:
        damages: of the candidates of each tensor, shape (candidates,) each, finite.
        costs: likewise, not negative, shape (candidates, budgets) each.
    """

    damages: tuple[np.ndarray, ...]
    costs: tuple[np.ndarray, ...]

    def damage(self, picks: Sequence[int]) -> float:
        """Return what a choice damages."""
        return float(sum(own[pick] for own, pick in zip(self.damages, picks, strict=True)))

    def cost(self, picks: Sequence[int]) -> np.ndarray:
        """Return what a choice costs, shape (budgets,)."""
        return np.asarray(np.sum([own[pick] for own, pick in zip(self.costs, picks, strict=True)], axis=0))

    def best(self, prices: np.ndarray) -> list[int]:
        """Return what is best at these prices; of equals the cheapest."""
        found = []
        for damages, costs in zip(self.damages, self.costs, strict=True):
            value = damages + costs @ prices
            least = value.min()
            ties = np.flatnonzero(value <= least + _ROUNDING * abs(least))
            found.append(int(ties[np.lexsort((ties, *costs[ties].T))[0]]))
        return found


@final
@dataclass(frozen=True, eq=False)
class Picked:
    """A choice.

    Args:
        picks: the place of the candidate of each tensor.
        prices: λ, what a unit of each cost is worth, shape (budgets,).
    """

    picks: tuple[int, ...]
    prices: np.ndarray


def picked(menus: Menus, budgets: Sequence[float], units: Sequence[str] = (), nodes: int = NODES) -> Picked:
    """Return the choice of least damage that was found within the budgets.

    Args:
        menus: at least one candidate for each of one or more tensors.
        budgets: one or two.
        units: of the budgets, for messages.
        nodes: of branch and bound, at most.

    Raises:
        PlanError: for a budget that nothing meets; it names the least that does.

    >>> costs = np.array([[8.0], [1.0]])
    >>> menus = Menus((np.array([0.0, 1.0]), np.array([0.0, 3.0])), (costs, costs))
    >>> picked(menus, [9.0]).picks, picked(menus, [2.0]).picks
    ((1, 0), (1, 1))
    """
    most = np.asarray(budgets, np.float64)
    room = most * (1 + _ROUNDING)
    said = [f"{one:,.6g} {unit}".rstrip() for one, unit in zip(most, units or [""] * len(most), strict=True)]
    for k in range(len(most)):
        least = float(sum(own[:, k].min() for own in menus.costs))
        if least > room[k]:
            raise PlanError(f"{said[k]} for what is chosen are not met: the least that can be is {least:,.6g}")
    kept = [_worthwhile(damages, costs) for damages, costs in zip(menus.damages, menus.costs, strict=True)]
    some = Menus(
        tuple(own[places] for own, places in zip(menus.damages, kept, strict=True)),
        tuple(own[places] for own, places in zip(menus.costs, kept, strict=True)),
    )
    prices = _prices(some, room)
    found = some.best(prices)
    if not (some.cost(found) <= room).all():
        found = _cheapened(some, found, room)
    if found:
        found = _filled(some, found, room)
    best = _branched(some, found, prices, room, nodes)
    if not best:
        raise PlanError(f"{' and '.join(said)} are each met, but no choice was found that meets both: give more of one")
    return Picked(tuple(int(places[pick]) for places, pick in zip(kept, best, strict=True)), prices)


def _worthwhile(damages: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the places of the candidates that no other one beats in damage and in every cost; of equals the first."""
    every = np.column_stack([damages, costs])
    order = np.lexsort((np.arange(len(every)), *every.T[::-1]))
    kept = list[int]()
    for j in order:  # what beats it comes before it
        if not any((every[i] <= every[j]).all() for i in kept):
            kept.append(int(j))
    return np.array(sorted(kept))


def _prices(menus: Menus, budgets: np.ndarray) -> np.ndarray:
    """Return λ: of one budget by bisection; of two the second's for each of the first's."""

    def inner(fixed: Sequence[float]) -> np.ndarray:
        place = len(fixed)
        if place == len(budgets):
            return np.array(fixed)

        def excess(price: float) -> tuple[bool, np.ndarray]:
            prices = inner([*fixed, price])
            return bool(menus.cost(menus.best(prices))[place] > budgets[place]), prices

        over, prices = excess(0.0)
        if not over:
            return prices
        low, high = -60.0, 60.0  # powers of 2, beside the scale of damages over costs
        scale = _scale(menus, place)
        for _ in range(_HALVINGS if place == 0 else _HALVINGS // 2):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(scale * 2.0**middle)[0] else (low, middle)
        return excess(scale * 2.0**high)[1]

    return inner([])


def _scale(menus: Menus, place: int) -> float:
    """Return the largest damage over the largest cost: what prices are looked for around."""
    damage = max(float(np.abs(own).max()) for own in menus.damages)
    cost = max(float(own[:, place].max()) for own in menus.costs)
    return (damage or 1.0) / (cost or 1.0)


def _cheapened(menus: Menus, picks: list[int], budgets: np.ndarray) -> list[int]:
    """Return a choice within the budgets by single changes that bring it nearest to them, or none."""
    picks = list(picks)
    while (excess := np.maximum(menus.cost(picks) / budgets - 1, 0).sum()) > 0:
        steps = []
        for t, own in enumerate(menus.costs):
            for j in range(len(own)):
                cost = menus.cost([*picks[:t], j, *picks[t + 1 :]])
                left = np.maximum(cost / budgets - 1, 0).sum()
                if left < excess:
                    lost = max(float(menus.damages[t][j] - menus.damages[t][picks[t]]), 0.0)
                    steps.append((lost / (excess - left), t, j))
        if not steps:
            return []
        _, t, j = min(steps)
        picks[t] = j
    return picks


def _filled(menus: Menus, picks: list[int], budgets: np.ndarray) -> list[int]:
    """Return a choice with the single changes that help most, while one fits."""
    picks = list(picks)
    while True:
        left, best = budgets - menus.cost(picks), (0.0, -1, -1)
        for t, (damages, costs) in enumerate(zip(menus.damages, menus.costs, strict=True)):
            gain = damages[picks[t]] - damages
            gain = np.where((costs - costs[picks[t]] <= left).all(axis=1), gain, -np.inf)
            j = int(gain.argmax())
            best = max(best, (float(gain[j]), t, j), key=lambda one: one[0])
        if best[0] <= 0:
            return picks
        picks[best[1]] = best[2]


def _branched(
    menus: Menus, found: list[int], prices: np.ndarray, budgets: np.ndarray, nodes: int
) -> list[int]:  # fmt: skip
    """Return the best choice of branch and bound, tensors with most to lose first; ``found`` where none is better."""
    values = [damages + costs @ prices for damages, costs in zip(menus.damages, menus.costs, strict=True)]
    order = sorted(range(len(values)), key=lambda t: -float(np.ptp(values[t])))
    rest = np.cumsum([0.0, *(values[t].min() for t in reversed(order))])[::-1]
    least = np.cumsum([0 * budgets, *(menus.costs[t].min(axis=0) for t in reversed(order))], axis=0)[::-1]
    best, damage, worth = list(found), menus.damage(found) if found else np.inf, float(budgets @ prices)
    stack: list[tuple[np.ndarray, float, tuple[int, ...]]] = [(0 * budgets, 0.0, ())]
    for _ in range(nodes):
        if not stack:
            break
        cost, lost, picks = stack.pop()
        depth = len(picks)
        if depth == len(order):
            if lost < damage:
                best, damage = [picks[order.index(t)] for t in range(len(order))], lost
            continue
        t = order[depth]
        after, harm = cost + menus.costs[t], lost + menus.damages[t]
        bounds = harm + after @ prices + rest[depth + 1] - worth
        fits = (after + least[depth + 1] <= budgets).all(axis=1) & (bounds < damage * (1 - _ROUNDING))
        places = np.flatnonzero(fits)
        for j in places[np.argsort(-bounds[places], kind="stable")]:
            stack.append((after[j], float(harm[j]), (*picks, int(j))))
    return best
