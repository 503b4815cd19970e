"""What can be typed of how a reference network is trained."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


class Regularizer(StrEnum):
    """What training prices beside the loss."""

    nuclear = "nuclear"
    orthogonality = "orthogonality"


@dataclass(frozen=True)
class Schedule:
    """How a reference network is trained."""

    panel: ClassVar[str] = groups.TRAINING
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training data.")] = 40
    lr: Annotated[float, typer.Option(help="Learning rate at the start; it falls to 0 as half a cosine.")] = 0.1
    weight_decay: Annotated[float, typer.Option(min=0, help="α of (α/2)‖w‖² on weights, not on biases.")] = 0.0
    regularize: Annotated[
        Regularizer | None,
        typer.Option(
            help="Train towards low rank, to be truncated after: nuclear shrinks the singular values of each matrix "
            "every 20 steps; orthogonality trains U diag(s) Vᵀ in its place, with U and V held orthonormal, and "
            "shrinks s. A kernel is the matrix of its outputs × the rest. What is written has weights as ever."
        ),
    ] = None
    price: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --regularize: what a unit of a singular value costs, in loss. Begin with 0.001; a higher price "
            "leaves fewer dimensions and a larger loss.",
        ),
    ] = None
