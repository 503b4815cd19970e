"""What can be typed of a checkpoint as it is stored: whether anything of it may change."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


@dataclass(frozen=True)
class Stored:
    """What becomes of a checkpoint that is quantized already, or of which nothing may change."""

    panel: ClassVar[str] = groups.WHAT
    recode: Annotated[
        bool,
        typer.Option(
            "--recode",
            help="Nothing may change: every tensor comes back bit by bit. So are checkpoints that are quantized "
            "already (GPTQ, AWQ, compressed-tensors, int8 or GGUF), unless you say --requantize.",
        ),
    ] = False
    requantize: Annotated[
        bool,
        typer.Option(
            "--requantize", help="Of a checkpoint that is quantized already: compress the weights that it stands for."
        ),
    ] = False
