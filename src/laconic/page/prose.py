"""Markdown, as recipes and benchmarks write their reports, as a page: tables, figures within, nothing fetched."""

import base64
from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from laconic.page.document import Section, page

_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}


def prose_page(text: str, figures: Mapping[str, bytes], foot: str) -> str:
    """Return a page of a Markdown text: its first heading is the title, those of the second level are sections.

    HTML in the text is shown as text. A figure that is not among those given is told by its description.

    Args:
        text: with tables, as GitHub has them.
        figures: files of images by the name that the text has for them: .png, .jpg or .svg.
        foot: a line at the end.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        for child in token.children or ():
            _inlined(child, figures)
    places = [at for at, one in enumerate(tokens) if one.type == "heading_open" and one.tag in ("h1", "h2")]
    title = next((tokens[at + 1].content for at in places if tokens[at].tag == "h1"), "Report")
    opening = next((at for at in places if tokens[at].tag == "h1"), None)
    starts = [at for at in places if at != opening]
    first, ends = 0 if opening is None else opening + 3, [*starts[1:], len(tokens)][: len(starts)]
    head = _rendered(parser, tokens[first : starts[0] if starts else len(tokens)])
    sections = [
        Section(f"part-{number}", tokens[at + 1].content, _rendered(parser, tokens[at + 3 : end]))
        for number, (at, end) in enumerate(zip(starts, ends, strict=True), 1)
    ]
    return page(title, "", f'<div class="prose">{head}</div>', sections, foot)


def _rendered(parser: MarkdownIt, tokens: Sequence[Token]) -> str:
    """Return tokens as HTML, tables in frames that scroll."""
    text: str = parser.renderer.render(tokens, parser.options, {})
    frame = '<div class="frame" tabindex="0" role="region" aria-label="Table"><table>'
    return text.replace("<table>", frame).replace("</table>", "</table></div>")


def _inlined(token: Token, figures: Mapping[str, bytes]) -> None:
    """Put an image into the text, or its description where there is none; links lead to no place beside the page."""
    if token.type == "image":
        name = str(token.attrs.get("src", ""))
        kind = _KINDS.get(name[name.rfind(".") :])
        if name in figures and kind is not None:
            token.attrs["src"] = f"data:{kind};base64,{base64.b64encode(figures[name]).decode('ascii')}"
        else:
            token.type, token.tag, token.children = "text", "", None
