"""The path of a run as a file of lines, one step a line, for people and other programs.

Each line is a JSON object: what `laconic.lc.schedule.Progress` has of the step; what is not finite is null.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from laconic.errors import DataError
from laconic.format.files import replace_file
from laconic.lc.schedule import Progress

_NUMBERS = {"mu": math.nan, "loss": math.nan, "gap": math.nan, "last_gap": math.inf}
"""What may not be finite, and what null stands for."""


def line(progress: Progress) -> str:
    """Return a step as a line.

    >>> line(Progress(0, 0.0, math.nan, 0.5, None, None))[:42]
    '{"step": 0, "mu": 0.0, "loss": null, "gap"'
    """
    values = asdict(progress)
    for name in _NUMBERS:
        values[name] = values[name] if math.isfinite(values[name]) else None
    return json.dumps(values, allow_nan=False) + "\n"


def write_log(path: Path, history: Iterable[Progress]) -> None:
    """Write all steps, all or nothing; what was there is replaced."""
    with replace_file(path, force=True) as file:
        file.write("".join(map(line, history)).encode())


def append_to_log(path: Path, progress: Progress) -> None:
    """Add a step at the end."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line(progress))


def read_log(path: Path) -> list[Progress]:
    """Return the steps in a log; a last line that was cut off counts for nothing.

    Raises:
        DataError: when it cannot be read, or is no log of ours; it names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise DataError(f"the log {path} cannot be read: {reason}") from error
    whole = [one for one in text.splitlines(keepends=True) if one.endswith("\n")]
    history = [_progress(path, number, one) for number, one in enumerate(whole, 1)]
    if not history:
        raise DataError(f"{path} has no step in it; a run writes one line for each: laconic compress ... --log {path}")
    return history


def _progress(path: Path, number: int, text: str) -> Progress:
    """Return the step of a line."""
    try:
        values: dict[str, Any] = json.loads(text)
        known = {field.name for field in fields(Progress)}
        filled: dict[str, Any] = {
            name: _NUMBERS[name] if name in _NUMBERS and value is None else value for name, value in values.items()
        }
        if values.keys() - known or not all(isinstance(filled[name], (int, float)) for name in ("step", *_NUMBERS)):
            raise ValueError
        return Progress(**filled)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}, line {number}: not a step of a run that laconic compress --log has written"
        ) from error
