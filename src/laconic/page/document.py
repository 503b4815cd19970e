"""A page as one file: sections between a head and a foot, with style and script within, and nothing fetched."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any, final

from laconic.page.words import safe

_ASSETS = files("laconic.page") / "assets"


@final
@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        key: by which links name it.
        title: its heading.
        body: HTML, text in it escaped.
    """

    key: str
    title: str
    body: str


@final
@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        heading: of it.
        right: whether its cells are numbers.
        spare: whether a small screen goes without.
    """

    heading: str
    right: bool = True
    spare: bool = False


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, total: Sequence[str] = (), kind: str = ""
) -> str:
    """Return a table in a frame of its own, which scrolls where it is too wide.

    Args:
        caption: says what it is of.
        columns: its columns; cells of the first head their rows.
        rows: cells as HTML, text in them escaped.
        total: a last row.
        kind: class of its look.
    """
    looks = [" ".join(["r"] * one.right + ["spare"] * one.spare) for one in columns]
    look = [f' class="{one}"' if one else "" for one in looks]
    heads = "".join(f'<th scope="col"{one}>{safe(c.heading)}</th>' for c, one in zip(columns, look, strict=True))

    def line(cells: Sequence[str]) -> str:
        first = f'<th scope="row"{look[0]}>{cells[0]}</th>'
        return (
            f"<tr>{first}{''.join(f'<td{one}>{cell}</td>' for one, cell in zip(look[1:], cells[1:], strict=True))}</tr>"
        )

    foot = f"<tfoot>{line(total)}</tfoot>" if total else ""
    return (
        f'<div class="frame" tabindex="0" role="region" aria-label="{safe(caption)}"><table class="{kind}">'
        f"<caption>{safe(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(map(line, rows))}</tbody>{foot}</table></div>"
    )


def folded(summary: str, body: str) -> str:
    """Return what is shown once somebody asks for it."""
    return f"<details><summary>{safe(summary)}</summary>{body}</details>"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the figures that a page begins with: value, and what it is."""
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{safe(what)}</dt><dd>{safe(value)}</dd></div>" for what, value in pairs)
        + "</dl>"
    )


def empty(what: str) -> str:
    """Return what stands where a part is empty: the option that would fill it, with code between backquotes."""
    pieces = safe(what).split("`")
    return (
        '<p class="empty">'
        + "".join(f"<code>{one}</code>" if number % 2 else one for number, one in enumerate(pieces))
        + "</p>"
    )


def paragraph(text: str) -> str:
    """Return a paragraph of text."""
    return f"<p>{safe(text)}</p>"


def page(
    title: str, lead: str, head: str, sections: Sequence[Section], foot: str = "", data: Mapping[str, Any] | None = None
) -> str:
    """Return a whole page.

    Args:
        title: of it.
        lead: a line below.
        head: HTML before the first section.
        sections: its parts.
        foot: a line at the end.
        data: what the script reads.
    """
    links = "".join(f'<li><a href="#{one.key}">{safe(one.title)}</a></li>' for one in sections)
    parts = "".join(
        f'<section id="{one.key}" aria-labelledby="{one.key}-title"><h2 id="{one.key}-title">{safe(one.title)}</h2>'
        f"{one.body}</section>"
        for one in sections
    )
    told = json.dumps(data or {}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Template(_asset("page.html")).substitute(
        title=safe(title), lead=safe(lead), head=head, links=links, sections=parts, foot=safe(foot),
        style=_asset("page.css"), script=_asset("page.js"), data=told.replace("<", "\\u003c"),
    )  # fmt: skip


def _asset(name: str) -> str:
    """Return a file that every page has within."""
    return (_ASSETS / name).read_text(encoding="utf-8")
