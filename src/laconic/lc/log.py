"""The path of a run as a file of lines, one step a line, for people and other programs.

Each line is a JSON object: what `laconic.lc.schedule.Progress` has of the step; what is not finite is null.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from laconic.errors import DataError
from laconic.format.files import replace_file
from laconic.lc.schedule import Progress

_NUMBERS = {"mu": math.nan, "loss": math.nan, "gap": math.nan, "last_gap": math.inf}
"""What may not be finite, and what null stands for."""

_MEASURED = ("validation", "calibrated")
"""Measures by name; null stands for NaN there."""


def line(progress: Progress) -> str:
    """Return a step as a line.

    >>> line(Progress(0, 0.0, math.nan, 0.5, None, None))[:42]
    '{"step": 0, "mu": 0.0, "loss": null, "gap"'
    """
    values = {name: _finite(value) for name, value in asdict(progress).items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return a number, or None where it is not finite; of a mapping all its numbers."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def is_log(path: Path) -> bool:
    """Say whether a file is a log, or an empty one, that a run may replace."""
    try:
        return path.is_file() and (path.stat().st_size == 0 or bool(read_log(path)))
    except DataError:
        return False


def _progress(path: Path, number: int, text: str) -> Progress:
    """Return the step of a line."""
    try:
        values: dict[str, Any] = json.loads(text)
        filled: dict[str, Any] = {
            name: _NUMBERS[name] if name in _NUMBERS and value is None else value for name, value in values.items()
        }
        for measured in _MEASURED:
            if (measures := filled.get(measured)) is not None:
                filled[measured] = {name: math.nan if one is None else one for name, one in measures.items()}
        _require_sound(filled)
        return Progress(**filled)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}, line {number}: not a step of a run that laconic compress --log has written"
        ) from error


def _require_sound(values: Mapping[str, Any]) -> None:
    """Check that a step has what it should.

    Raises:
        ValueError: when it has not.
    """
    whole = [values["step"], values.get("file_bytes") or 0]
    numbers = [values[name] for name in _NUMBERS]
    numbers += [values[name] for name in ("changed", "returned") if values.get(name) is not None]
    numbers += [one for measured in _MEASURED for one in (values.get(measured) or {}).values()]
    if type(values.get("met")) not in (bool, type(None)) or type(values.get("kept")) not in (str, type(None)):
        raise ValueError
    if any(type(one) is not int for one in whole) or any(type(one) not in (int, float) for one in numbers):
        raise ValueError
