"""Figures as plain SVG and HTML: a treemap, bars in tables, planes of curves and dots, histograms.

Lengths are shares of the whole, so that figures are as wide as the page and text keeps its size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.page.treemap import Box, squarified
from laconic.page.words import safe

WIDE, NARROW = (1040, 440), (358, 520)
"""Pixels of a treemap on a large screen and on a telephone."""

_LETTER, _LINE, _PAD = 7.0, 17, 7  # pixels of text of 12 px, of a line of it, and around it
_TICKS = 5
_FIELD = (300, 260)  # pixels of a plane on a telephone, where labels have least room


@final
@dataclass(frozen=True)
class Cell:
    """A rectangle of a treemap.

    Args:
        size: that its area stands for.
        names: what it may be called, the longest first; the first that fits is written into it.
        amount: its size in words.
        about: what a screen reader says of it.
        paint: classes of its colours.
        key: number of what the page says of it.
    """

    size: float
    names: tuple[str, ...]
    amount: str
    about: str
    paint: str
    key: int


def treemap(cells: Sequence[Cell], what: str) -> str:
    """Return a treemap, one for large screens and one for small ones, of which a style sheet shows one.

    Args:
        cells: the largest first.
        what: areas are of.
    """
    return "".join(treemap_of(cells, what, kind, size) for kind, size in (("wide", WIDE), ("narrow", NARROW)))


def treemap_of(cells: Sequence[Cell], what: str, kind: str, size: tuple[int, int]) -> str:
    """Return a treemap for a size in pixels.

    Args:
        cells: the largest first.
        what: areas are of.
        kind: class of its look.
        size: width and height for which text is fitted.
    """
    width, height = size
    boxes = squarified([cell.size for cell in cells], Box(0, 0, width, height))
    drawn = [
        _cell(cell, box, width, height, first=number == 0)
        for number, (cell, box) in enumerate(zip(cells, boxes, strict=True))
    ]
    label = f"Treemap: areas are {what}. Arrow keys move from one to the next."
    return (
        f'<svg class="treemap {kind}" height="{height}" role="group" aria-label="{safe(label)}">{"".join(drawn)}</svg>'
    )


def _cell(cell: Cell, box: Box, width: int, height: int, *, first: bool) -> str:
    """Return a rectangle with what fits into it."""
    place = " ".join(
        f'{key}="{100 * of / whole:.4f}%"'
        for key, of, whole in (
            ("x", box.x, width), ("y", box.y, height), ("width", box.width, width), ("height", box.height, height)
        )
    )  # fmt: skip
    room = box.width - 2 * _PAD
    name = next((one for one in cell.names if _LETTER * len(one) <= room), "") if box.height >= _LINE + _PAD else ""
    fits = name and box.height >= 2 * _LINE + _PAD and _LETTER * len(cell.amount) <= room
    text = f'<text x="{_PAD}" y="18">{safe(name)}</text>' if name else ""
    text += f'<text x="{_PAD}" y="34" class="soft">{safe(cell.amount)}</text>' if fits else ""
    inner = f"<svg {place}>{text}</svg>" if text else ""
    return (
        f'<g class="cell {cell.paint}" role="img" tabindex="{0 if first else -1}" data-key="{cell.key}" '
        f'aria-label="{safe(cell.about)}"><rect {place}/>{inner}</g>'
    )


def bar(parts: Sequence[tuple[str, float, float]], mark: float | None = None) -> str:
    """Return a bar for the cell of a table; numbers beside it say the same.

    Args:
        parts: class, where it begins and how long it is, as shares of the whole.
        mark: where a line stands, likewise.
    """
    drawn = "".join(
        f'<rect class="{kind}" x="{100 * at:.2f}%" width="{100 * length:.2f}%" height="100%"/>'
        for kind, at, length in parts
    )
    line = f'<rect class="mark" x="{100 * mark:.2f}%" width="1.5" height="100%"/>' if mark is not None else ""
    return f'<svg class="bar" aria-hidden="true">{drawn}{line}</svg>'


@final
@dataclass(frozen=True)
class Axis:
    """A range of numbers along an edge.

    Args:
        low: its least.
        high: its greatest, above it.
        logarithmic: whether equal ratios are equally long.
    """

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Sequence[float], *, logarithmic: bool = False, zero: bool = False) -> "Axis":
        """Return an axis that has all finite values, with some room around them.

        Args:
            values: any; of a logarithmic axis those above 0 count.
            logarithmic: as above.
            zero: whether it begins at 0.
        """
        finite = [one for one in values if math.isfinite(one) and (one > 0 or not logarithmic)]
        low, high = (min(finite), max(finite)) if finite else (0.1, 1.0)
        if logarithmic:
            return cls(low / 1.25, high * 1.25, logarithmic=True)
        room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        return cls(0.0 if zero and low >= 0 else low - room, high + room)

    def share(self, value: float) -> float:
        """Return how far along it a value is, 0 to 1 within."""
        if self.logarithmic:
            return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return some round numbers along it.

        >>> Axis(0, 9.3).ticks(), Axis(0.02, 3, logarithmic=True).ticks()
        ([0.0, 2.0, 4.0, 6.0, 8.0], [0.1, 1.0])
        """
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, -(-(last - first) // _TICKS))
            decades = [10.0**power for power in range(first, last + 1, every)]
            if len(decades) > 1:
                return decades
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / _TICKS))
        step *= next(one for one in (1, 2, 5, 10) if (self.high - self.low) / (one * step) <= _TICKS + 0.5)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


@final
@dataclass(frozen=True)
class Mark:
    """A dot in a plane.

    Args:
        label: written beside it; "" for none.
        x: where it is.
        y: likewise.
        kind: class of its look.
    """

    label: str
    x: float
    y: float
    kind: str


def plane(
    title: str, axes: tuple[str, str], curves: Mapping[str, Sequence[tuple[float, float]]], dots: Sequence[Mark] = (),
    *, logarithmic: bool = False, zero: bool = True, kinds: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Return a figure of curves and dots, with a legend.

    Args:
        title: its caption.
        axes: what lies along the horizontal and the vertical edge.
        curves: places by name; what is not finite breaks nothing and is not drawn.
        dots: beside them.
        logarithmic: whether the vertical axis is.
        zero: whether the horizontal axis begins at 0.
        kinds: of dots, by class, what the legend says.
    """
    known = {
        name: [(x, y) for x, y in places if math.isfinite(x) and math.isfinite(y) and (y > 0 or not logarithmic)]
        for name, places in curves.items()
    }
    shown = [dot for dot in dots if math.isfinite(dot.x) and math.isfinite(dot.y) and (dot.y > 0 or not logarithmic)]
    across = Axis.of([x for places in known.values() for x, _ in places] + [dot.x for dot in shown], zero=zero)
    up = Axis.of([y for own in known.values() for _, y in own] + [dot.y for dot in shown], logarithmic=logarithmic)
    lines = "".join(_line(number, places, across, up) for number, places in enumerate(known.values()))
    grid = "".join(f'<path class="grid" d="M0 {1000 * (1 - up.share(at)):.1f}H1000"/>' for at in up.ticks())
    ticks = "".join(f'<span class="y" style="bottom:{100 * up.share(at):.2f}%">{_tick(at)}</span>' for at in up.ticks())
    ticks += "".join(
        f'<span class="x" style="left:{100 * across.share(at):.2f}%">{_tick(at)}</span>' for at in across.ticks()
    )
    places = [(across.share(dot.x), up.share(dot.y)) for dot in shown]
    sides = _sides([dot.label for dot in shown], places)
    marks = "".join(_mark(*one) for one in zip(shown, places, sides, strict=True))
    legend = "".join(f'<li><i class="line l{n % 5}"></i>{safe(name)}</li>' for n, name in enumerate(known))
    legend += "".join(f'<li><i class="dot {kind}"></i>{safe(text)}</li>' for kind, text in (kinds or {}).items())
    return (
        f'<figure class="plane"><figcaption>{safe(title)}</figcaption><p class="axis">{safe(axes[1])}</p>'
        f'<div class="field"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{grid}{lines}'
        f'</svg>{marks}{ticks}</div><p class="axis across">{safe(axes[0])}</p><ul class="legend">{legend}</ul></figure>'
    )


def _line(number: int, places: Sequence[tuple[float, float]], across: Axis, up: Axis) -> str:
    """Return a curve."""
    if not places:
        return ""
    points = " ".join(f"{1000 * across.share(x):.1f},{1000 * (1 - up.share(y)):.1f}" for x, y in places)
    return f'<polyline class="curve l{number % 5}" points="{points}"/>'


def _sides(labels: Sequence[str], places: Sequence[tuple[float, float]]) -> list[str]:
    """Return on which side of its dot each label stands: the first that is within, and on no other dot or label.

    Args:
        labels: "" for none.
        places: of the dots, as shares of the field.

    >>> _sides(["a", "b"], [(0.5, 0.5), (0.52, 0.5)])
    ['left', 'right']
    """
    width, height = _FIELD
    taken = [(x * width - 5, y * height - 5, x * width + 5, y * height + 5) for x, y in places]
    found = []
    for label, (x, y) in zip(labels, places, strict=True):
        long = _LETTER * len(label) + 8
        spots = {"right": (9, -8), "left": (-9 - long, -8), "above": (-long / 2, 8), "below": (-long / 2, -24)}
        boxes = {
            side: (x * width + dx, y * height + dy, x * width + dx + long, y * height + dy + 16)
            for side, (dx, dy) in spots.items()
        }
        free = (
            side
            for side, (a, b, c, d) in boxes.items()
            if 0 <= a and c <= width and not any(a < g and e < c and b < h and f < d for e, f, g, h in taken)
        )
        side = next(free, "right" if x < 0.6 else "left")
        found.append(side)
        taken += [boxes[side]] if label else []
    return found


def _mark(dot: Mark, place: tuple[float, float], side: str) -> str:
    """Return a dot with its label on a side."""
    x, y = place
    text = f'<b class="{side}">{safe(dot.label)}</b>' if dot.label else ""
    return f'<span class="dot {dot.kind}" style="left:{100 * x:.2f}%;bottom:{100 * y:.2f}%">{text}</span>'


def _tick(value: float) -> str:
    """Return a number beside an axis."""
    return f"{float(f'{value:.9g}'):,.10g}".replace("-", "−")


def histogram(before: Sequence[int], after: Sequence[int], what: str) -> str:
    """Return two histograms over each other: the first as a line, the second filled.

    The line decides how high it is; a bar that is higher ends there.

    Args:
        before: counts of each bin.
        after: likewise.
        what: a screen reader says of it.
    """
    top, many = max(1.0, 1.25 * max(before, default=0)), len(before)
    filled = "".join(
        f"M{at} 100V{100 * (1 - min(count / top, 1)):.1f}h1V100z" for at, count in enumerate(after) if count
    )
    line = f"M0 100V{100 * (1 - before[0] / top):.1f}" + "".join(
        f"V{100 * (1 - count / top):.1f}h1" for count in before
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {many} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{safe(what)}"><path class="after" d="{filled}"/><path class="before" d="{line}V100"/></svg>'
    )
