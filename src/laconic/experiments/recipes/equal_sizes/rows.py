"""The rows of the table: all settings, sizes and methods."""

from collections.abc import Callable, Sequence

from laconic.experiments.recipes.equal_sizes.chosen import chosen_rows
from laconic.experiments.recipes.equal_sizes.measurements import Direct, Measurement, learned
from laconic.experiments.recipes.equal_sizes.settings import CHOSEN, Setting
from laconic.experiments.recipes.equal_sizes.subject import Subject
from laconic.experiments.recipes.equal_sizes.truncation import truncated_rows


def measure(subject: Subject, settings: Sequence[Setting], trained: Callable[[Setting], bool]) -> list[Measurement]:
    """Return the rows of all settings, sizes and methods.

    Args:
        subject: the network.
        settings: what is compared.
        trained: says whether a setting is trained too.
    """
    rows, total = list[Measurement](), len(settings)
    for number, setting in enumerate(settings):
        part = subject.part(number / total, (number + 1) / total)
        if setting is CHOSEN:
            rows += chosen_rows(part, trained=trained(setting))
        elif setting.trained:
            rows += truncated_rows(part, setting, tuned=trained(setting))
        else:
            rows += _of_setting(part, setting, trained(setting))
    return rows


def _of_setting(subject: Subject, setting: Setting, trained: bool) -> list[Measurement]:
    """Return the rows of one setting: all sizes direct, then all sizes by LC."""
    trial = Direct(subject, setting)
    targets, rows = subject.effort.targets, list[Measurement]()
    for number, target in enumerate(targets):
        subject.context.say(0.2 * number / len(targets), f"{setting.label}, {target:,} B, direct")
        rows.append(trial.row(target))
    known: dict[float, int] = {}
    for number, direct in enumerate(rows[:] if trained else ()):
        subject.context.say(0.2 + 0.8 * number / len(targets), f"{setting.label}, {direct.target:,} B, LC")
        row = learned(subject, direct, known)
        known |= dict(row.figures.get("tried", ()))
        rows.append(row)
    return rows
