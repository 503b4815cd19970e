"""What can be typed of teachers: which networks a network learns from beside its targets, and how much."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


@dataclass(frozen=True)
class Teaching:
    """Teachers of a network that is trained."""

    panel: ClassVar[str] = groups.TRAINING
    distill: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Learn from what this network says, too: a checkpoint or .lac file, or self for the one that is "
            "compressed. Repeated: from the mean of several. The loss is alpha times the own one, and beta times the "
            "cross-entropy of both outputs at the temperature.",
        ),
    ] = None
    distill_temperature: Annotated[
        float, typer.Option(help="With --distill: logits of both are divided by this; above 1 it softens them.")
    ] = 4.0
    distill_alpha: Annotated[float, typer.Option(help="With --distill: α, of the loss of targets.")] = 0.1
    distill_beta: Annotated[
        float,
        typer.Option(help="With --distill: β, of what the teacher says, times the temperature squared."),
    ] = 0.9
    distill_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --distill: keep there what the teacher says of each training sample, so that no later pass runs "
            "it. Not for augmented data.",
        ),
    ] = None
    distill_net: Annotated[
        str | None,
        typer.Option(help="With --distill: the reference network of its files, where they do not name it themselves."),
    ] = None
    distill_task: Annotated[
        str | None,
        typer.Option(
            help="A teacher of your own: package.module:factory, a callable that returns a laconic.Task, whose network "
            "it is. Its weights are those of --distill, or its own without.",
        ),
    ] = None

    def __bool__(self) -> bool:
        """Whether there is a teacher."""
        return bool(self.distill or self.distill_task)

    @property
    def idle(self) -> list[str]:
        """Options that say how something teaches, where nothing does."""
        bare = groups.values(Teaching())
        said = groups.values(replace(self, distill=None))
        return [] if self else [option for option, value in said.items() if value != bare[option]]
