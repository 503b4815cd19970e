"""Of many compressions of each tensor those that damage a network least within its budgets.

    min over plans   damage(network)   subject to   bytes ≤ size,  cost_k ≤ most_k

Candidates are fitted tensor by tensor; one Lagrangian over all of them (`laconic.choose.lagrangian`) says which is
worth its cost, as if damages added up and bytes were apart. Neither is quite so: grids share their tables, errors of
one layer are made good by the next. So plans are written and measured as whole files: one grid for all, each single
technique, the choice itself, and changes of the best one by what costs least in the Lagrangian. The best file stays.
Of many the nearest is so partly by chance: where samples judge, several techniques have to be nearer than the best
single one by more than twice the standard error of the difference, by sample; and of two files of one plan the one
made with more care comes out. So a choice is no worse than any single technique here, as far as samples tell, and what
it gains can be expected of others, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from laconic import interrupts
from laconic.choose.chosen import Chosen, Measured, Pick
from laconic.choose.filling import Picks, filled, row_of
from laconic.choose.ground import Candidate, File, Ground, Tick
from laconic.choose.limits import Limit
from laconic.choose.menu import GRID, Menu
from laconic.choose.offering import Table, candidates, exact_bytes, measured
from laconic.choose.selecting import clearly_less
from laconic.errors import PlanError


@final
@dataclass(frozen=True, eq=False)
class _Problem:
    """What is looked for: a network, what may be chosen, and what it may cost."""

    ground: Ground
    menu: Menu
    size: int | None
    limits: tuple[Limit, ...]
    tick: Tick

    def above(self, file: File) -> str:
        """Return which limits a file is above; nothing where it is within all."""
        reached = [(limit.total(file.codes), limit) for limit in self.limits]
        over = [f"{most:,.6g} {limit.name}, of {limit.most:,.6g}" for most, limit in reached if most > limit.most]
        return f"it has {' and '.join(over)}" if over else ""

    def meets(self, file: File) -> bool:
        """Whether a file is within the limits."""
        return not self.above(file)

    def measured(self, label: str, picks: Picks, *, thorough: bool = False) -> Measured | str:
        """Return the file of a plan, or why there is none."""
        interrupts.check()
        try:
            file, found = filled(self.ground, picks, self.size, self.meets, thorough=thorough, tick=self.tick)
        except PlanError as error:
            return str(error)
        found = {name: self._counted(one, picks[name]) for name, one in found.items()}
        return self.above(file) or Measured(label, found, file, thorough)

    def _counted(self, candidate: Candidate, before: Candidate) -> Candidate:
        """Return a candidate with what it costs now: as before, where it is the same."""
        if candidate is before:
            return candidate
        costs = tuple(limit.of(candidate.name, candidate.code) for limit in self.limits)
        size = 0.0 if self.size is None else exact_bytes(candidate.name, candidate.code)
        return replace(candidate, costs=costs, bytes=size)


def chosen(
    ground: Ground, menu: Menu, size: int | None, limits: Sequence[Limit] = (), tick: Tick = lambda *_: None
) -> Chosen:
    """Return the best plan that was measured, and its file.

    Args:
        ground: the network, and what damages are.
        menu: what may be chosen.
        size: bytes of the file; None where none are asked.
        limits: costs of the whole network; with ``size`` one at most, else one or two.
        tick: told of the progress.

    Raises:
        PlanError: for too many budgets or none, where there is nothing to choose for, and for budgets that nothing
            meets; it says what the least is.
    """
    if not 1 <= (size is not None) + len(limits) <= 2:
        raise PlanError("a choice is under one budget or two: bytes, parameters, multiply-adds, time or energy")
    if not ground.weights:
        raise PlanError("the plan leaves no weights to choose for: leave --choose, or choose=..., out")
    problem = _Problem(ground, menu, size, tuple(limits), tick)
    grid, told = _grid_alone(problem) if size is not None else (None, "")
    if size is not None and grid is None and isinstance(told, str):
        raise PlanError(told)  # no grid is too coarse: it names the smallest file
    table = candidates(ground, menu, size, problem.limits, grid, tick)
    table = measured(ground, table, tick)
    files, failed = _files(problem, table, told)
    if not files:
        reasons = "; ".join(f"{label}: {why}" for label, why in failed.items())
        raise PlanError(f"no plan that was tried meets what is asked. {reasons}")
    best, nearest = settled(files)
    picks = _told(ground, table, best.picks)
    return Chosen(best, tuple(files), failed, picks, ground.measures, problem.limits, nearest)


def settled(files: Sequence[Measured]) -> tuple[Measured, Measured | None]:
    """Return the file to take, and the nearest where that is of another plan and samples do not tell them apart.

    A single technique goes before several that samples do not tell from it. Of the plan that is taken the file made
    with most care comes out: quick ones are there to compare plans, and several tries at one are as lucky as many.
    """
    nearest = min(files, key=_distance)
    single = min((one for one in files if one.is_single), key=_distance, default=nearest)
    best, near, alone = nearest, nearest.file.apart, single.file.apart
    if near is not None and alone is not None:
        best = nearest if clearly_less(near, alone) else single
        careful = [one for one in files if one.thorough and one.label == best.label]
        best = min(careful, key=_distance, default=best)
    return best, None if best.label == nearest.label else nearest


def _distance(one: Measured) -> float:
    """Return how far a file is from the original."""
    return one.file.distance


def _grid_alone(problem: _Problem) -> tuple[File | None, Measured | str]:
    """Return the file with all weights on the grid, and what it is worth as a plan: nothing where limits forbid it."""
    try:
        file = problem.ground.file({}, thorough=False, tick=problem.tick)
    except PlanError as error:
        return None, str(error)
    if GRID not in problem.menu.techniques:
        return file, ""
    return file, problem.above(file) or Measured(f"{GRID} alone", {}, file, thorough=False)


def _files(
    problem: _Problem, table: Table, grid: Measured | str
) -> tuple[list[Measured], dict[str, str]]:  # fmt: skip
    """Return the plans that are within all budgets, and why others are not."""
    files, failed = list[Measured](), dict[str, str]()

    def take(label: str, found: Measured | str) -> Measured | None:
        if isinstance(found, str):
            failed[label] = found
            return None
        files.append(found)
        return found

    if grid:
        take(f"{GRID} alone", grid)
    singles = [name for name in problem.menu.techniques if name != GRID]
    for done, technique in enumerate(singles):
        problem.tick("single techniques", done, len(singles))
        if (alone := table.single(technique)) is not None:
            take(f"{technique} alone", problem.measured(f"{technique} alone", alone))
    tried, best = list[Picks](), None
    plan: Picks | None = None
    try:
        plan = table.best()
    except PlanError as error:
        failed["choice"] = str(error)
    for number in range(problem.menu.files):
        if plan is None:
            break
        problem.tick("choices", number, problem.menu.files)
        tried.append(plan)
        label = "choice" if number == 0 else f"choice, change {number}"
        known = _is_grid(plan) and isinstance(grid, Measured)
        found = grid if known else take(label, problem.measured(label, plan))
        if isinstance(found, Measured) and (best is None or _distance(found) < _distance(best)):
            best = found
        plan = next(_changed(table, best.picks if best else plan, tried), None)
    nearest = sorted(files, key=_distance)
    single = next((one for one in nearest if one.is_single), None)
    again = [*nearest[:2], *filter(None, (single, grid if isinstance(grid, Measured) else None))]
    for one in {id(one): one for one in again}.values():
        take(f"{one.label}, again", problem.measured(one.label, one.picks, thorough=True))
    return files, failed


def _is_grid(picks: Picks) -> bool:
    """Whether all tensors share the grid of the budget."""
    return all(one.offer is None for one in picks.values())


def _changed(table: Table, picks: Picks, tried: Sequence[Picks]) -> Iterator[Picks]:
    """Yield plans that differ in one tensor, those that lose least in the Lagrangian first."""

    def key(plan: Picks) -> tuple[object, ...]:
        return tuple(sorted((name, one.technique, one.bytes) for name, one in plan.items() if one.offer is not None))

    known = {key(plan) for plan in tried}
    whole = {name: picks.get(name) or table.grid(name) for name in table.of}
    for name, other in table.runners_up(whole):
        changed = {**whole, name: other}
        if key(changed) not in known:
            yield changed


def _told(ground: Ground, table: Table, picks: Picks) -> tuple[Pick, ...]:
    """Return what was chosen for each tensor, and what comes next."""
    found = list[Pick]()
    for name in table.of:
        own = picks.get(name) or table.grid(name)
        others = [one for one in table.of[name] if one.technique != own.technique]
        second = min(others, key=lambda one: table.value(name, one), default=None)
        row = None if own.offer is None else row_of(ground, own)
        found.append(Pick(ground.shown(name), own, row, second, table.value(name, own),
                          None if second is None else table.value(name, second)))  # fmt: skip
    return tuple(found)
