"""What can be typed of peers: launches that learn from each other by a folder that they share."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


def number_of(text: str) -> tuple[int, int]:
    """Return which launch of how many.

    >>> number_of("0/2")
    (0, 2)
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None or int(match[1]) >= int(match[2]) or int(match[2]) < 2:
        raise typer.BadParameter(f"{text!r} is no peer: 0/2 and 1/2 are two that learn from each other")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Among:
    """Other launches that a network learns from while they are trained, too."""

    panel: ClassVar[str] = groups.TEACHERS
    codistill: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Learn from other launches of this command, which share the folder, while all of them train: each "
            "writes its weights there and reads the newest of the others. Nobody waits; start them in any order.",
        ),
    ] = None
    peer: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="With --codistill: which of how many, from 0: 0/2 and 1/2. It trains with the seed --seed plus K.",
        ),
    ] = None
    codistill_every: Annotated[
        int | None, typer.Option(min=1, help="With --codistill: steps from one exchange to the next; 50.")
    ] = None
    codistill_burn_in: Annotated[
        int | None,
        typer.Option(min=0, help="With --codistill: steps before the others are learned from; an epoch."),
    ] = None
    codistill_weight: Annotated[
        float | None,
        typer.Option(min=0, help="With --codistill: of the KL from the mean of what the others say; 1."),
    ] = None
