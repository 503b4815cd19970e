"""What can be typed about what becomes of weights."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


class Score(StrEnum):
    """What filters and channels are ranked by."""

    l2 = "l2"
    l1 = "l1"
    activity = "activity"


@dataclass(frozen=True)
class Rows:
    """What becomes of weights, by technique: a plan, or the options that stand for one."""

    panel: ClassVar[str] = groups.WHAT
    codebook: Annotated[int | None, typer.Option(min=1, help="Quantize to this many values per tensor.")] = None
    keep: Annotated[
        float | None, typer.Option(min=0, max=1, help="Prune: the share of weights kept, over all tensors together.")
    ] = None
    rank: Annotated[int | None, typer.Option(min=0, help="Factor each matrix into two of this rank.")] = None
    filters: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Prune: the share of filters kept (neurons, of a matrix), with all that goes along, so that laconic "
            "shrink can remove the others. Needs the network.",
        ),
    ] = None
    score: Annotated[
        Score | None,
        typer.Option(
            help="With --filters, ranked by: l2 (unless you say), l1, or activity, how often they are not 0 on "
            "training data."
        ),
    ] = None
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="With --keep: the share of each tensor.")] = False
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A TOML plan: patterns of tensor names to compressions. With a budget, the others share the rest."
        ),
    ] = None
