"""What can be typed about a choice: whether there is one, and what it may cost beside bytes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


def amount(text: str) -> float:
    """Return a number above 0, perhaps with K, M or G behind it for thousands, millions and billions.

    >>> amount("1.5M"), amount("300")
    (1500000.0, 300.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]?)", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None or not float(match[1]) > 0:
        raise typer.BadParameter(f"{text!r} is no number above 0, such as 300, 20K or 1.5M")
    return float(match[1]) * 1000.0 ** " KMG".index(match[2].upper() or " ")


@dataclass(frozen=True)
class Choosing:
    """Which compression each tensor gets, where that is to be chosen."""

    panel: ClassVar[str] = groups.WHAT

    @property
    def limited(self) -> bool:
        """Whether a budget other than bytes is named."""
        return any(one is not None for one in (self.params, self.macs, self.time, self.energy))

    choose: Annotated[
        bool,
        typer.Option(
            "--choose",
            help="Choose for each weight among a grid, codebooks, pruning, low rank, sums, filters and channels, what "
            "loses least within the budget; whole files are measured.",
        ),
    ] = False
    params: Annotated[
        float | None,
        typer.Option(parser=amount, metavar="N", help="With --choose: numbers that the file has, at most: 20K, 1.5M."),
    ] = None
    macs: Annotated[
        float | None,
        typer.Option(parser=amount, metavar="N", help="With --choose: multiply-adds for one input, at most: 20M."),
    ] = None
    time: Annotated[
        float | None,
        typer.Option(min=1e-9, metavar="MS", help="With --choose: milliseconds for one input on --target, at most."),
    ] = None
    energy: Annotated[
        float | None,
        typer.Option(
            parser=amount, metavar="NJ", help="With --choose: nanojoules for one input at most, at 45 nm, by Horowitz."
        ),
    ] = None
    write_plan: Annotated[
        Path | None, typer.Option(metavar="TOML", help="With --choose: write the plan that was chosen to this file.")
    ] = None
