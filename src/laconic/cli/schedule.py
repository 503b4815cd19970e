"""What can be typed of how, and by whom, a reference network is trained."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


class Regularizer(StrEnum):
    """What training prices beside the loss."""

    nuclear = "nuclear"
    orthogonality = "orthogonality"


class Weights(StrEnum):
    """Of how few values weights are in the forward pass."""

    binary = "binary"
    binary_scaled = "binary-scaled"
    stochastic = "stochastic"
    ternary = "ternary"


class Activations(StrEnum):
    """Of how few values is what layers read."""

    binary = "binary"


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
    weights: Annotated[
        Weights | None,
        typer.Option(
            help="Train weights of few bits: binary is ±H by the sign, H of Glorot fixed for each tensor "
            "(BinaryConnect); stochastic draws ±H and writes the real weights; binary-scaled is ± the mean of |w|; "
            "ternary is -n, 0 or p of each tensor, n and p learned (TTQ)."
        ),
    ] = None
    activations: Annotated[
        Activations | None,
        typer.Option(
            help="What layers read, but the first: binary is their sign, and no other activation. With --weights "
            "binary a binarized network (BNN)."
        ),
    ] = None


@dataclass(frozen=True)
class Machines:
    """Who trains beside this process, and how gradients get from one to the other."""

    panel: ClassVar[str] = groups.WORKERS
    gradients: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How gradients travel: float32, bfloat16, float16, terngrad, qsgd, topk, dgc, signs or clustered; "
            "behind a colon what is chosen of it, as 'terngrad:base 3', qsgd:7, topk:0.01, clustered:16.",
        ),
    ] = None
    simulate_workers: Annotated[
        int | None, typer.Option(min=1, help="Play so many workers in this process, with the same messages.")
    ] = None
    server: Annotated[
        bool,
        typer.Option("--server", help="Messages go to worker 0, and their mean comes back; else all go to all."),
    ] = False
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds after which a worker that does not answer ends the run on all.")
    ] = 600.0
