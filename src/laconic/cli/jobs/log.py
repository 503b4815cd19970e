"""What `laconic log` prints, draws and hands on."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from laconic.cli.console import Output, table
from laconic.cli.jobs.events import add_steps, events
from laconic.experiments.curves import path_figure
from laconic.format.files import replace_file, require_absent, require_apart
from laconic.lc.diagnosis import diagnosis
from laconic.lc.log import read_log
from laconic.lc.schedule import Progress

_SHOWN = 24
"""Lines of the table: the first, the last, and others evenly between; --json has all."""


def show(say: Output, log: Path, output: Path | None, tensorboard: Path | None, *, force: bool) -> None:
    """Print the table and what stands out; draw and hand on where that is asked for."""
    if output is not None:
        require_absent(output, force=force)
        require_apart(output, log)
    history = read_log(log)
    if output is not None:
        with replace_file(output, force=force) as file:
            file.write(path_figure(history))
    if tensorboard is not None:
        _hand_on(history, tensorboard)
    said = diagnosis(history)
    say.result({"steps": [asdict(one) for one in history], "diagnosis": said}, _table(log.name, history), *said)


def _table(name: str, history: Sequence[Progress]) -> Table:
    """Return some of the steps as a table."""
    last = len(history) - 1
    places = sorted({round(at * last / (_SHOWN - 1)) for at in range(_SHOWN)})
    budget, asked, kept = (any(getattr(one, of) is not None for one in history) for of in ("file_bytes", "met", "kept"))
    measures = list(dict.fromkeys(measure for one in history for measure in one.validation or {}))
    heads = [
        "step",
        "μ",
        "loss",
        "gap",
        "moved",
        *(["bytes"] if budget else []),
        *(f"validation {m}" for m in measures),
        *(["met"] if asked else []),
        *(["kept as"] if kept else []),
    ]
    rows = []
    for one in (history[place] for place in places):
        moved = "-" if one.changed is None else f"{one.changed:.2%}"
        row = [str(one.step), f"{one.mu:.2e}", f"{one.loss:.4f}", f"{one.gap:.3f}", moved]
        row += [f"{one.file_bytes:,}" if one.file_bytes is not None else "-"] if budget else []
        row += [f"{one.validation[m]:.4g}" if one.validation and m in one.validation else "-" for m in measures]
        row += ["yes" if one.met else "no"] if asked else []
        row += [one.kept or "-"] if kept else []
        rows.append(tuple(row))
    return table(name, dict.fromkeys(heads, "right"), rows)


def _hand_on(history: Sequence[Progress], folder: Path) -> None:
    """Write the steps as events.

    Raises:
        MissingPackage: without TensorBoard.
    """
    with events(folder) as writer:
        add_steps(writer, map(_numbers, history))


def _numbers(one: Progress) -> dict[str, float | None]:
    """Return the numbers of a step by name."""
    values = asdict(one)
    validation = values.pop("validation") or {}
    told = {name: value for name, value in values.items() if name != "last_gap"}
    return told | {f"validation/{name}": value for name, value in validation.items()}
