"""A record of a benchmark, as its JSON has it, as a page: single numbers as facts, lists of rows as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from laconic.page.document import Column, Section, facts, folded, page, paragraph, table
from laconic.page.words import figures, safe

MOST = 100
"""Rows of a table that are seen at once; of a longer one all are, once somebody asks."""

_LISTED = 64  # values of a list that a cell tells; of a longer one it tells how many there are
_SHORT = 12  # characters of a fact; longer words are told below
_MADE = ("command", "commit", "changed", "seed", "machine", "versions", "environment", "environments")
_BY = "How it was made"


def record_page(title: str, record: Any, foot: str = "") -> str:
    """Return a page of a record.

    Mappings whose values are plain become tables of two columns, lists of mappings and mappings of mappings tables of
    a row each, whose own mappings are columns; what is deeper is a part of its own.

    Args:
        title: of the page.
        record: as JSON has it: mappings by name, lists, words, numbers, None.
        foot: a line at the end.
    """
    whole = record if isinstance(record, Mapping) else {"rows": record}
    made = {name: value for name, value in whole.items() if name in _MADE}
    told = {name: value for name, value in whole.items() if name not in made}
    plain = {name: _told(value) for name, value in told.items() if not isinstance(value, Mapping | list | tuple)}
    head = facts([(name, value) for name, value in plain.items() if len(value) <= _SHORT])
    head += "".join(paragraph(f"{name}: {value}") for name, value in plain.items() if len(value) > _SHORT)
    parts = {name: value for name, value in told.items() if name not in plain} | ({_BY: made} if made else {})
    sections = [
        Section(f"part-{number}", name, "".join(_shown(name, value)))
        for number, (name, value) in enumerate(parts.items(), 1)
    ]
    return page(title, "", head, sections, foot)


def _shown(name: str, value: Any) -> Iterator[str]:
    """Give the tables of a value that is not plain."""
    rows = _rows(value)
    if rows is not None:
        yield _table(name, rows)
        return
    if not isinstance(value, Mapping):
        plain = [one for one in value if _flat(one)]
        if plain or not value:
            yield paragraph(", ".join(map(_told, plain)) or "–")
        value = {_titled(number, one): one for number, one in enumerate(value, 1) if not _flat(one)}
    flat = {key: one for key, one in value.items() if _flat(one)}
    if flat:
        yield _table(name, [{"": key, "value": one} for key, one in flat.items()])
    for key, one in value.items():
        if key not in flat:
            yield f"<h3>{safe(key)}</h3>"
            yield from _shown(f"{name}, {key}", one)


def _titled(number: int, row: Any) -> str:
    """Return the title of a row that is a part of its own: its number, and of a mapping the first two words or numbers.

    >>> _titled(2, {"network": "resnet20", "size": 40000, "files": []})
    '2: network resnet20, size 40,000'
    """
    pairs = row.items() if isinstance(row, Mapping) else ()
    told = [f"{name} {_told(value)}" for name, value in pairs if isinstance(value, str | int | float)]
    return f"{number}: {', '.join(told[:2])}" if told else str(number)


def _flat(value: Any) -> bool:
    """Say whether a cell can tell a value."""
    if isinstance(value, list | tuple):
        return all(map(_flat, value))
    return not isinstance(value, Mapping)


def _rows(value: Any) -> list[Mapping[str, Any]] | None:
    """Return the rows that a value is, or None: those of a mapping have their names in a first column."""
    if isinstance(value, Mapping):
        rows: list[Any] = [{"": key, **one} if isinstance(one, Mapping) else None for key, one in value.items()]
    else:
        rows = list(value)
    good = rows and all(isinstance(row, Mapping) for row in rows)
    spread: list[Mapping[str, Any]] = [dict(_spread("", row)) for row in rows] if good else []
    return spread if any(spread) and all(map(_flat, (cell for row in spread for cell in row.values()))) else None


def _spread(path: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the cells of a row by the names of their columns: of mappings within it by both names."""
    for name, value in row.items():
        whole = f"{path}, {name}" if path else name
        if isinstance(value, Mapping):
            yield from _spread(whole, value)
        else:
            yield whole, value


def _table(caption: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table of all their columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    numbers = [all(isinstance(row.get(name, 0), int | float | None) for row in rows) for name in names]
    columns = [Column(name, right=right) for name, right in zip(names, numbers, strict=True)]
    cells = [[safe(_told(row.get(name))) for name in names] for row in rows]
    whole = table(caption, columns, cells)
    return folded(f"{len(rows):,} rows", whole) if len(rows) > MOST else whole


def _told(value: Any) -> str:
    """Return what a cell says of a value.

    >>> _told(True), _told(12345), _told(0.123456), _told(None), _told([1, 2]), _told(list(range(99)))
    ('yes', '12,345', '0.1235', '–', '1, 2', '99 values')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if value is None or isinstance(value, float):
        return figures(value, 4)
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value)) if len(value) <= _LISTED else f"{len(value):,} values"
    return str(value)
