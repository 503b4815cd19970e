"""What can be typed of layers: which of a teacher's a network learns to write, and where it learns to attend."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups


def pairs(text: str) -> list[tuple[str, str]]:
    """Return pairs of layers, (teacher's, student's), from a list with colons and commas.

    >>> pairs("layer1:layer1, layer3:stage.2")
    [('layer1', 'layer1'), ('layer3', 'stage.2')]
    """
    found = [tuple(map(str.strip, pair.split(":"))) for pair in text.split(",")]
    if not all(len(pair) == 2 and all(pair) for pair in found):
        raise typer.BadParameter(
            f"{text!r} is no list of pairs teacher's:student's, such as layer1:layer1,layer2:conv4"
        )
    return [(pair[0], pair[1]) for pair in found]


@dataclass(frozen=True)
class Layers:
    """Teachers within whom a network that is trained looks."""

    panel: ClassVar[str] = groups.TEACHERS
    hint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="First of all, train up to a layer to predict what a layer of this network writes: FitNets. A layer "
            "between the two that are of different shapes is thrown away afterwards.",
        ),
    ] = None
    hint_layers: Annotated[
        str | None,
        typer.Option(metavar="T:S", help="With --hint: the teacher's layer and the student's, by name."),
    ] = None
    hint_epochs: Annotated[int, typer.Option(min=1, help="With --hint: epochs of this stage.")] = 10
    hint_lr: Annotated[
        float, typer.Option(help="With --hint: its learning rate at the start; it falls to 0 as half a cosine.")
    ] = 1e-3
    hint_neurons: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --hint: so many neurons or channels of the teacher's layer alone, those that tell labels apart "
            "and correlate least.",
        ),
    ] = None
    attention: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Learn to attend where this network does, in maps of convolutions, beside all else."
        ),
    ] = None
    attention_layers: Annotated[
        str | None,
        typer.Option(metavar="T:S,...", help="With --attention: pairs of layers, by name, with maps of one size."),
    ] = None
    attention_weight: Annotated[float, typer.Option(help="With --attention: β.")] = 2000.0
    teacher_net: Annotated[
        str | None,
        typer.Option(help="The reference network of --hint and --attention, where their files do not name it."),
    ] = None
    teacher_task: Annotated[
        str | None,
        typer.Option(
            help="A network of your own in the files of --hint and --attention: package.module:factory, a callable "
            "that returns a laconic.Task."
        ),
    ] = None

    @property
    def idle(self) -> dict[str, str]:
        """Options that say how, where what they go with is missing: what was typed, and what it goes with."""
        missing = dict[str, str]()
        for field in fields(self):
            of = field.name.partition("_")[0]
            needs = (self.hint or self.attention) if of == "teacher" else getattr(self, of)
            if getattr(self, field.name) != field.default and not needs:
                missing[groups.name_of(field.name)] = "--hint or --attention" if of == "teacher" else f"--{of}"
        return missing
