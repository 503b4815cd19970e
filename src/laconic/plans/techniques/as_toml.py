"""A compression as the row of a plan that stands for it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import product
from typing import Any

from laconic.csteps.compression import Compression
from laconic.csteps.joint import Joint
from laconic.errors import PlanError
from laconic.plans.techniques.technique import Technique

TomlRow = dict[str, Any]
"""A table of TOML: numbers, strings, booleans, lists and tables."""


def row_of(compression: Compression, techniques: Iterable[Technique]) -> TomlRow:
    """Return the row that stands for ``compression``, with what is not the default alone.

    An option is the field of its name, or, where there is none, any field that no option names. What is found is
    right because it is tried: the technique builds the same compression from it.

    Args:
        compression: of any of the techniques, perhaps `Joint`.
        techniques: what plans can name; the first that fits is taken.

    Raises:
        PlanError: when no row stands for it.
    """
    inner = compression.of if isinstance(compression, Joint) else compression
    techniques = tuple(techniques)
    for technique in techniques:
        if technique.compression is type(inner):
            for row, options in _candidates(inner, technique, techniques):
                if _builds(technique, options, inner):
                    return row | {"joint": True} if inner is not compression else row
    raise PlanError(f"no row of a plan stands for {compression!r}")


def technique_of(row: Mapping[str, Any], techniques: Mapping[str, Technique]) -> Technique:
    """Return the technique that a sound row names."""
    return next(technique for key, technique in techniques.items() if key in row)


def _candidates(
    inner: Compression, technique: Technique, techniques: tuple[Technique, ...]
) -> Iterator[tuple[TomlRow, dict[str, Any]]]:
    """Give rows that may stand for ``inner``, each with the options that a technique builds from."""
    if technique.say is not None:
        told = technique.say(inner)
        if told is not None:
            yield {name: _said(value, technique.options[name].kind, techniques) for name, value in told.items()}, told
        return
    assert is_dataclass(inner), "compressions are frozen dataclasses"
    held = {field.name: field for field in fields(inner)}
    loose = [field for name, field in held.items() if name not in technique.options]
    row: TomlRow = {}
    options: dict[str, Any] = {}
    missing = []
    for name, option in technique.options.items():
        if name not in held:
            missing.append(name)
        elif name == technique.key or getattr(inner, name) != _default(held[name]):
            options[name] = getattr(inner, name)
            row[name] = _said(options[name], option.kind, techniques)
    for values in product([True, *(getattr(inner, field.name) for field in loose)], repeat=len(missing)):
        kinds = [technique.options[name].kind for name in missing]
        if all(_is(value, kind) for value, kind in zip(values, kinds, strict=True)):
            values_in_toml = [_said(value, kind, techniques) for value, kind in zip(values, kinds, strict=True)]
            first = dict(zip(missing, values_in_toml, strict=True))
            yield _in_order({**row, **first}, technique), {**options, **dict(zip(missing, values, strict=True))}


def _builds(technique: Technique, options: Mapping[str, Any], expected: Compression) -> bool:
    """Say whether the technique builds the compression from the options."""
    try:
        return bool(technique.build(dict(options)) == expected)
    except (PlanError, TypeError):
        return False


def _said(value: Any, kind: type, techniques: tuple[Technique, ...]) -> Any:
    """Return a value as TOML says it."""
    if kind is Compression:
        return row_of(value, techniques)
    if kind is tuple:
        return [row_of(part, techniques) for part in value]
    return list(value) if isinstance(value, tuple) else value


def _is(value: Any, kind: type) -> bool:
    """Say whether a field can be the value of an option."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(part, Compression) for part in value)
    return isinstance(value, {float: (int, float), list: (list, tuple)}.get(kind, (kind,)))


def _default(field: "Field[Any]") -> Any:
    """Return the default of a field, or a value that equals nothing."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _in_order(row: TomlRow, technique: Technique) -> TomlRow:
    """Return the row with its key first."""
    return {name: row[name] for name in technique.options if name in row}
