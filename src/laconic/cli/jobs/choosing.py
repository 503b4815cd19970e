"""What `laconic compress --choose` does: budgets beside bytes, the choice with its progress, and what is told of it."""

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.choose.chosen import Chosen, Record, sentences, told
from laconic.choose.deciding import Asked
from laconic.choose.limits import Limit
from laconic.choose.menu import Menu
from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.groups import values
from laconic.cli.jobs.targets import Target
from laconic.cli.menus import Choosing
from laconic.csteps.costs import Energy, Flops, Parameters, Time
from laconic.errors import PlanError
from laconic.format.files import replace_file, require_absent
from laconic.models.counting import positions
from laconic.models.params import buffers_of
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.theory.metric import Metrics
from laconic.training.task import Task

_NANO, _MILLI = 1000.0, 1000.0
"""Picojoules of a nanojoule, milliseconds of a second."""

_SHARES = {"statistics": 0.1, "readings": 0.05, "grids": 0.2, "candidates": 0.15, "damages": 0.1,
           "single techniques": 0.15, "choices": 0.15}  # fmt: skip
"""Stages in their order, and about what each takes of the time; files that are made once more take the rest."""


def require_choosable(choosing: Choosing, force: bool) -> None:
    """Check that options of a choice go with one, and that the plan takes no file's place.

    Raises:
        PlanError: names the options.
        OutputExists: when the plan is there, and is not to be replaced.
    """
    idle = [option for option, value in values(choosing).items() if value is not None and value is not False]
    if idle and not choosing.choose:
        raise PlanError(f"{', '.join(idle)}: only --choose takes this")
    if choosing.write_plan is not None:
        require_absent(choosing.write_plan, force=force)


def limits_of(choosing: Choosing, task: Task | None, target: Target | None) -> list[Limit]:
    """Return the budgets that the options name.

    Args:
        choosing: the options.
        task: the network runs once on a batch of it where arithmetic is counted.
        target: the machine that time is counted on.

    Raises:
        PlanError: when there is no task for these, or no machine.
        DataError: when the network has operations of which nobody knows.
    """
    found = [Limit(Parameters(), choosing.params)] if choosing.params is not None else []
    if choosing.time is not None and target is None:
        raise PlanError("--time is that of a machine: name its profile, --target FILE, which laconic profile writes")
    if choosing.time is not None and target is not None:
        cost = Time.of_profile(target.profile, target.uses)
        found.append(Limit(cost, choosing.time / _MILLI, f"seconds on {target.profile.name}"))
    if choosing.macs is None and choosing.energy is None:
        return found
    if task is None:
        raise PlanError("--macs and --energy count what one run takes: name the network, --net and --data, or a --task")
    batch = next(iter(Calibration.of(task, samples=8).batches))
    places = positions(task.module, lambda: task.outputs(dict(task.module.named_parameters()), batch))
    if choosing.macs is not None:
        found.append(Limit(Flops(places), choosing.macs, "multiply-adds"))
    if choosing.energy is not None:
        found.append(Limit(Energy(places), choosing.energy * _NANO, "picojoules"))
    return found


def chosen(
    say: Output, choosing: Choosing, network: Untied, plan: Plan, budget: Budget | None, task: Task | None,
    effort: options.Effort, quality: str, calibrating: options.Calibrating, notes: Mapping[str, str],
    metrics: Metrics | None, seed: int, threads: int | None, target: Target | None,
) -> Chosen:  # fmt: skip
    """Return the choice, with a progress bar meanwhile, and write its plan.

    Args:
        say: where progress goes.
        choosing: the options.
        network: each tensor once.
        plan: rows that stay.
        budget: of bytes; None where only other budgets are named.
        task: whose training split has the samples; by weights alone it may be None.
        effort: "direct" is by weights alone.
        quality: how good a file is made.
        calibrating: which samples are looked at.
        notes: text of the file.
        metrics: importances by name.
        seed: of the order of the samples.
        threads: tensors that are worked on at a time.
        target: the machine that it is for, if one is named.
    """
    buffers = buffers_of(task.module) if task else ()
    asked = Asked(network, plan, budget, limits_of(choosing, task, target), Menu(), notes, buffers, quality)
    with say.progress("choosing", 1.0) as bar:

        def tick(stage: str, done: int, total: int) -> None:
            if stage in _SHARES:
                before = sum(list(_SHARES.values())[: list(_SHARES).index(stage)])
                bar(before + _SHARES[stage] * done / max(total, 1), f"{stage}: {done}/{total}")

        if effort is options.Effort.direct:
            found = asked.by_weights(metrics, tick, threads)
        else:
            assert task is not None, "calibration and training have one"
            samples = SAMPLES if calibrating.samples is None else calibrating.samples
            calibration = Calibration.of(task, samples=samples, seed=seed)
            found = asked.by_inputs(calibration, tick, fold=not calibrating.no_fold, tune=not calibrating.no_tune)
    if choosing.write_plan is not None:
        write_plan(found, plan, choosing.write_plan)
    return found


def write_plan(found: Chosen, beside: Plan, path: Path) -> None:
    """Write the plan as TOML, with how it was chosen; what it does not name is the budget's."""
    with replace_file(path, force=True) as file:
        file.write(found.toml(beside).encode())


def chosen_table(record: Record) -> Table:
    """Return what each tensor got, and what would come next."""
    columns = {"tensor": "left", "gets": "left", "bytes": "right", "damage": "right", "runner-up": "left",
               "its bytes": "right", "its damage": "right", "costs more": "right"}  # fmt: skip
    rows = [(one["tensor"], *_cells(one), *_after(one)) for one in record["tensors"]]
    return table("what each tensor gets; bytes and damage of each by itself", columns, rows)


def show(path: Path, say: Output) -> None:
    """Print the choice that a plan tells of.

    Raises:
        PlanError: where it tells of none, or not as it should.
    """
    record = told(path)
    say.report({"plan": str(path), "choice": record}, chosen_table(record), *sentences(record))


def _cells(one: Record) -> tuple[str, str, str]:
    """Return a candidate in a word or two, its bytes and its damage.

    >>> _cells({"technique": "low rank", "strength": 0.05, "bytes": 1234.0, "damage": 0.25})
    ('low rank 0.05', '1,234', '0.25')
    """
    strength = one.get("strength")
    words = one["technique"] if strength is None else f"{one['technique']} {strength:.4g}"
    return words, f"{one['bytes']:,.0f}", f"{one['damage']:.3g}"


def _after(one: Record) -> tuple[str, ...]:
    """Return the same of the runner-up, if there is one, and what it would cost more."""
    other = one.get("second")
    return (*_cells(other), f"{other['value'] - one['value']:.3g}") if other else ("-", "-", "-", "-")
