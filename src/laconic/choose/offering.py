"""The candidates of every tensor: fitted, counted, and those that are worth it measured."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np

from laconic import interrupts
from laconic.choose.ground import Candidate, File, Ground, Tick
from laconic.choose.lagrangian import Menus, Picked, picked
from laconic.choose.limits import Limit
from laconic.choose.menu import GRID, Menu, Offer
from laconic.csteps.costs import Bits
from laconic.errors import LaconicError, PlanError
from laconic.format.codes import Code, GridCode
from laconic.format.lossless import lossless
from laconic.models.params import to_numpy

_FINEST = 24.0  # bits of a weight on a grid: those of a float
_SOME = 6  # candidates of a tensor that are measured, beside the best of each technique


@final
@dataclass(frozen=True, eq=False)
class Table:
    """What can be chosen.

    Args:
        of: the candidates of each tensor; those without an offer are on the grid.
        budgets: what is left for these tensors, of bytes first where these are asked.
        units: of these.
    """

    of: Mapping[str, tuple[Candidate, ...]]
    budgets: tuple[float, ...]
    units: tuple[str, ...]

    def costs(self, candidate: Candidate) -> tuple[float, ...]:
        """Return what a candidate costs of each budget."""
        return (candidate.bytes, *candidate.costs) if len(self.units) > len(candidate.costs) else candidate.costs

    def picked(self) -> Picked:
        """Return the choice within the budgets; errors are those of `laconic.choose.lagrangian.picked`."""
        damages = tuple(np.array([one.lost for one in own]) for own in self.of.values())
        costs = tuple(np.array([self.costs(one) for one in own]) for own in self.of.values())
        return picked(Menus(damages, costs), self.budgets, self.units)

    def best(self) -> dict[str, Candidate]:
        """Return the choice within the budgets: the candidate of each tensor."""
        picks = self.picked().picks
        return {name: own[pick] for (name, own), pick in zip(self.of.items(), picks, strict=True)}

    @cached_property
    def prices(self) -> np.ndarray:
        """What a unit of each budget is worth at the choice; 0 where budgets cannot be met."""
        try:
            return self.picked().prices
        except PlanError:
            return np.zeros(len(self.budgets))

    def value(self, name: str, candidate: Candidate) -> float:
        """Return damage + price · cost."""
        return candidate.lost + float(np.dot(self.prices, self.costs(candidate)))

    def grid(self, name: str) -> Candidate:
        """Return the best candidate of a tensor on the grid; where none is, the best of all."""
        own = [one for one in self.of[name] if one.offer is None] or list(self.of[name])
        return min(own, key=lambda one: self.value(name, one))

    def single(self, technique: str) -> dict[str, Candidate] | None:
        """Return the choice of one technique for all tensors; None where a tensor has no candidate of it.

        Where no choice is within the budgets, it is the cheapest.
        """
        own = {name: tuple(one for one in some if one.technique == technique) for name, some in self.of.items()}
        if not all(own.values()):
            return None
        try:
            return replace(self, of=own).best()
        except PlanError:
            return {name: min(some, key=self.costs) for name, some in own.items()}

    def runners_up(self, picks: Mapping[str, Candidate]) -> Iterator[tuple[str, Candidate]]:
        """Yield changes of one tensor to another technique, those that lose least first."""
        found = list[tuple[float, str, Candidate]]()
        for name, own in self.of.items():
            now = self.value(name, picks[name])
            for technique in dict.fromkeys(one.technique for one in own):
                if technique != picks[name].technique:
                    best = min((one for one in own if one.technique == technique), key=lambda o: self.value(name, o))
                    found.append((self.value(name, best) - now, name, best))
        for _, name, candidate in sorted(found, key=lambda one: one[:2]):
            yield name, candidate


def candidates(
    ground: Ground, menu: Menu, size: int | None, limits: tuple[Limit, ...], grid: File | None, tick: Tick
) -> Table:
    """Return all candidates, their errors known, their damages at the outputs not yet but for grids.

    Args:
        ground: the network.
        menu: what there is.
        size: bytes of the file, if they are asked for.
        limits: other budgets.
        grid: the file with all tensors on the grid, where there is one: it tells what else a file takes.
        tick: told of the progress.
    """
    found: dict[str, list[Candidate]] = {name: [] for name in ground.weights}

    def add(name: str, offer: Offer | None, code: Code, size: float, damage: float | None = None) -> None:
        costs = tuple(limit.of(name, code) for limit in limits)
        found[name].append(Candidate(name, offer, code, size, costs, ground.error(name, code), damage))

    beside = _beside(ground, grid) if size is not None else 0.0
    numbers = sum(weight.numel() for weight in ground.weights.values())
    if GRID in menu.techniques and size is not None:
        for place, rate in enumerate(menu.rates):
            bits = min(rate * 8 * max(size - beside, numbers / 64) / numbers, _FINEST)
            tick("grids", place, len(menu.rates))
            grids = ground.grids(bits)
            for name, (code, taken, damage) in grids.items():
                add(name, None, code, taken, damage)
    for done, (name, weight) in enumerate(ground.weights.items()):
        tick("candidates", done, len(ground.weights))
        if size is None:
            add(name, None, lossless(to_numpy(weight)), 0.0, 0.0)
        for offer in menu.offers(tuple(weight.shape), coded=size is not None):
            interrupts.check()
            try:
                code = ground.coded(name, offer.row(tuple(weight.shape)))
            except LaconicError:
                continue  # a shape without such groups
            add(name, offer, code, exact_bytes(name, code) if size is not None else 0.0)
    missing = [name for name, own in found.items() if not own]
    if missing:
        raise PlanError(f"the menu has nothing for {', '.join(missing)}; let it have {GRID!r}, or give them rows")
    asked: list[tuple[str, float, float]] = [("bytes", size, beside)] if size is not None else []
    asked += [(limit.name, limit.most, _others(ground, limit)) for limit in limits]
    for unit, most, rest in asked:
        if rest >= most:
            raise PlanError(
                f"{most:,.6g} {unit} are not met: what is not chosen for, as biases, names and tables, takes "
                f"{rest:,.6g}, and the smallest network more; ask for that, or let fewer tensors stay as they are"
            )
    budgets = tuple(most - rest for _, most, rest in asked)
    return Table({name: tuple(own) for name, own in found.items()}, budgets, tuple(unit for unit, _, _ in asked))


def exact_bytes(name: str, code: Code) -> float:
    """Return the bytes that a tensor adds to a file by itself."""
    return Bits(exact=True)(name, code) / 8


def measured(ground: Ground, table: Table, tick: Tick) -> Table:
    """Return the table with damages at the outputs: those of candidates that may be chosen are measured.

    These are the best few of each tensor by damage + price · cost, and the best of each technique. The damage of
    another one is its error times what measured ones come to beside theirs, in the median of the tensor's. Where there
    are no outputs all stays as it is.
    """
    plain = replace(table, of={name: tuple(replace(one, damage=None) for one in own) for name, own in table.of.items()})
    found = dict[str, tuple[Candidate, ...]]()
    for done, (name, own) in enumerate(table.of.items()):
        tick("damages", done, len(table.of))
        order = sorted(range(len(own)), key=lambda j: plain.value(name, plain.of[name][j]))
        techniques = {own[j].technique: j for j in reversed(order)}
        known = dict[int, Candidate]()
        for j in (*order[:_SOME], *techniques.values(), *(j for j, one in enumerate(own) if one.damage is not None)):
            damage = own[j].damage if own[j].damage is not None else ground.damage(name, own[j].code)
            if damage is None:
                return table
            if math.isfinite(damage):
                known[j] = own[j].measured(damage)
        ratios = [one.lost / one.error for one in known.values() if one.error > 0]
        usual = float(np.median(ratios)) if ratios else 1.0
        guessed = {j: one.measured(one.error * usual) for j, one in enumerate(own) if j not in known}
        found[name] = tuple({**guessed, **known}[j] for j in range(len(own)))
    return replace(table, of=found)


def _beside(ground: Ground, grid: File | None) -> float:
    """Return the bytes of a file beside the integers of the weights that are chosen for, about."""
    if grid is None:
        return sum(exact_bytes(name, code) for name, code in ground.others().items())
    own = (grid.codes[ground.shown(name)] for name in ground.weights)
    return grid.file_bytes - sum(code.index_bits / 8 for code in own if isinstance(code, GridCode))


def _others(ground: Ground, limit: Limit) -> float:
    """Return what the tensors cost that are not chosen for."""
    return sum(limit.of(name, code) for name, code in ground.others().items())
