"""A profile as a TOML file that people read, edit and write by hand."""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from laconic.csteps.layers import OTHERS, PRODUCTS, Layer
from laconic.csteps.profile import LAYOUTS, Device, Point, Profile, Setting
from laconic.errors import PlanError

VERSION = 1
"""Of what the keys mean."""

COLUMNS = ("outputs", "inputs", "height", "width", "groups", "positions", "calls", "batch", "seconds")
"""Of a measured layer: those of `Layer`, kernel 0 × 0 for none, the batch, and the seconds that the batch took."""

_MOST_BYTES, _MOST_POINTS, _MOST = 1 << 24, 100_000, 1 << 40
_HEAD = {"version": int, "name": str, "runtime": str, "runtime_version": str, "threads": list, "caches": list,
         "weights": str, "session": float, "measured": list, "device": dict}  # fmt: skip
_NEEDED = ("version", "name", "runtime", "threads")


def load_profile(path: str | Path) -> Profile:
    """Read a profile.

    Raises:
        PlanError: when the file is missing, too large, no TOML, or says something that no profile can say; it names
            the key.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise PlanError(f"the profile {path} has more than {_MOST_BYTES} bytes: it is none")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"the profile {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"the profile {path} is not TOML: {error}") from error
    try:
        return parse_profile(table)
    except PlanError as error:
        raise PlanError(f"the profile {path}: {error}; laconic profile -o FILE writes a sound one") from error


def parse_profile(table: Mapping[str, Any]) -> Profile:
    """Return the profile that a TOML document stands for.

    Raises:
        PlanError: for a key or a value that no profile has.
    """
    _require_keys(table, _HEAD, _NEEDED, "")
    if table["version"] != VERSION:
        raise PlanError(f"version is {VERSION}, not {table['version']}; it is of another laconic")
    measured = [point for number, group in enumerate(table.get("measured", ())) for point in _points(group, number)]
    if len(measured) > _MOST_POINTS:
        raise PlanError(f"it measures more than {_MOST_POINTS} layers")
    session = _number(table.get("session", 0.0), "session")
    return Profile(
        table["name"],
        table["runtime"],
        table.get("runtime_version", ""),
        tuple(_whole(n, "threads", 1) for n in table["threads"]),
        tuple(_whole(n, "caches", 1) for n in table.get("caches", ())),
        table.get("weights", "float32"),
        session,
        tuple(measured),
        _device(table["device"]) if "device" in table else None,
    )


def to_toml(profile: Profile) -> str:
    """Return the document that stands for ``profile``: `parse_profile` of it is the profile again."""
    lines = [
        f"version = {VERSION}", f"name = {_text(profile.name)}", f"runtime = {_text(profile.runtime)}",
        f"runtime_version = {_text(profile.version)}", f"threads = {list(profile.threads)}",
        f"caches = {list(profile.caches)} # bytes", f"weights = {_text(profile.weights)}",
        f"session = {profile.session!r} # seconds of a run beside its layers",
    ]  # fmt: skip
    if profile.device is not None:
        lines += ["", "[device]", *(f"{f.name} = {getattr(profile.device, f.name)!r}" for f in fields(Device))]
    groups: dict[tuple[str, Setting], list[Point]] = {}
    for point in profile.points:
        groups.setdefault((point.layer.kind, point.setting), []).append(point)
    for (kind, setting), points in groups.items():
        lines += ["", "[[measured]]", f"kind = {_text(kind)}", f"layout = {_text(setting.layout)}"]
        lines += [f"tile = {setting.tile}", f"threads = {setting.threads}"]
        lines += [f"points = [ # {', '.join(COLUMNS)}", *(f"  {_row(point)}," for point in points), "]"]
    return "\n".join(lines) + "\n"


def _points(group: Any, number: int) -> list[Point]:
    """Return the points of one table ``[[measured]]``."""
    where = f"measured {number + 1}: "
    kinds = {"kind": str, "layout": str, "tile": int, "threads": int, "points": list}
    if not isinstance(group, Mapping):
        raise PlanError(f"{where}it is a table [[measured]], not {group!r}")
    _require_keys(group, kinds, ("kind", "points"), where)
    kind, layout = group["kind"], group.get("layout", "rows")
    if kind not in (*PRODUCTS, *OTHERS):
        raise PlanError(f"{where}kind is one of {', '.join((*PRODUCTS, *OTHERS))}, not {kind!r}")
    if layout not in LAYOUTS.get(kind, ("rows",)):
        raise PlanError(f"{where}layout of {kind} is one of {', '.join(LAYOUTS.get(kind, ('rows',)))}, not {layout!r}")
    tile, threads = _whole(group.get("tile", 0), f"{where}tile", 0), _whole(group.get("threads", 1), where, 1)
    if (tile > 0) != (layout == "tiles"):
        raise PlanError(f"{where}a tile goes with layout 'tiles', and only with that")
    setting = Setting(layout, tile, threads)
    return [_point(kind, setting, row, f"{where}point {n + 1}: ") for n, row in enumerate(group["points"])]


def _point(kind: str, setting: Setting, row: Any, where: str) -> Point:
    """Return the point of one row."""
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != len(COLUMNS):
        raise PlanError(f"{where}it has the {len(COLUMNS)} numbers {', '.join(COLUMNS)}, not {row!r}")
    least = {"height": 0, "width": 0}
    *whole, seconds = row
    outputs, inputs, height, width, groups, positions, calls, batch = (
        _whole(value, f"{where}{column}", least.get(column, 1)) for column, value in zip(COLUMNS, whole, strict=False)
    )
    if inputs % groups or outputs % groups or (height > 0) != (width > 0):
        raise PlanError(f"{where}groups divide outputs and inputs, and a kernel has height and width or neither")
    kernel = (height, width) if height else ()
    layer = Layer(kind, outputs, inputs, kernel, groups, positions, calls)
    return Point(layer, setting, batch, _number(seconds, f"{where}seconds", positive=True))


def _row(point: Point) -> str:
    """Return a point as a row of TOML."""
    layer = point.layer
    height, width = layer.kernel or (0, 0)
    numbers = [layer.outputs, layer.inputs, height, width, layer.groups, layer.positions, layer.calls, point.batch]
    return f"[{', '.join(map(str, numbers))}, {point.seconds!r}]"


def _device(table: Mapping[str, Any]) -> Device:
    """Return the model of a device."""
    kinds = {field.name: int if field.name == "cache" else float for field in fields(Device)}
    _require_keys(table, kinds, tuple(kinds), "device: ")
    call, multiply_add, byte = (_number(table[name], f"device: {name}") for name in ("call", "multiply_add", "byte"))
    return Device(call, multiply_add, byte, _whole(table["cache"], "device: cache", 0))


def _require_keys(table: Mapping[str, Any], kinds: Mapping[str, type], needed: Sequence[str], where: str) -> None:
    """Raise `PlanError` for a key that is missing or strange, or a value of another type."""
    strange, missing = sorted(table.keys() - kinds.keys()), [key for key in needed if key not in table]
    if strange or missing:
        raise PlanError(
            f"{where}keys are {', '.join(kinds)}; strange: {strange or 'none'}, missing: {missing or 'none'}"
        )
    for key, value in table.items():
        kind = (int, float) if kinds[key] is float else kinds[key]
        if isinstance(value, bool) or not isinstance(value, kind):
            raise PlanError(f"{where}{key} is a {kinds[key].__name__}, not {value!r}")


def _whole(value: Any, where: str, least: int) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise PlanError(f"{where}: a whole number from {least} to {_MOST} expected, not {value!r}")
    return value


def _number(value: Any, where: str, *, positive: bool = False) -> float:
    """Return a finite number, 0 or more, or above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PlanError(f"{where}: a finite number expected, not {value!r}")
    if value < 0 or (positive and value == 0):
        raise PlanError(f"{where}: a number {'above 0' if positive else 'from 0 on'} expected, not {value!r}")
    return float(value)


def _text(value: str) -> str:
    """Return a string as TOML writes it: control characters and quotes escaped, as in JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
