"""The calls of layers that a run of a network makes, and the survey of weights that comes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast, final

from torch import nn

from laconic.calibrate.forms import experts_of, form_of
from laconic.calibrate.meeting import Inputs, Place, Survey, Uses, require_finite
from laconic.calibrate.recursion import FORMS, Form
from laconic.errors import listed
from laconic.models.params import Params
from laconic.training.batches import tensors_in


@final
@dataclass(frozen=True, eq=False)
class Event:
    """A weight met in a call.

    Args:
        name: of the weight.
        layer: that was called.
        leaf: the weight's name within it.
        batch: number of the batch.
        form: how the layer takes it for a matrix.
    """

    name: str
    layer: nn.Module
    leaf: str
    batch: int
    form: Form = "plain"


def surveyed(uses: Uses, events: list[Event], alone: Mapping[str, str], batches: int) -> Survey:
    """Return what was seen as a survey.

    Args:
        uses: of the module.
        events: in their order.
        alone: weights with an obstacle in any of their layers, and which.
        batches: how many were run.
    """
    met: dict[str, list[Event]] = {}
    for event in events:
        met.setdefault(event.name, []).append(event)
    places, reasons, notes = dict[Event, Place](), dict(alone), list[str]()
    for name, own in met.items():
        matrices = [event for event in own if not isinstance(event.layer, nn.Embedding)]
        if name in reasons:
            continue
        if len({getattr(event.layer, "groups", 1) for event in matrices}) > 1:
            reasons[name] = "its layers have different groups"
            continue
        embeds = 0 < len(matrices) < len(own)
        if embeds:
            notes.append(f"{name} is an embedding as well: it is calibrated as the matrix that it is elsewhere")
        kept = matrices or own
        if len({event.form for event in kept}) > 1:
            reasons[name] = "its layers take it for different matrices"
            continue
        calls = [event.batch for event in kept]
        counts = tuple(calls.count(number) for number in range(batches))
        places[kept[0]] = Place(name, uses[kept[0].layer][0], kept[0].leaf, counts, not matrices, kept[0].form, embeds)
    every = dict.fromkeys(name for _, names in uses.values() for name in names.values())
    unreached = tuple(name for name in every if name not in met and name not in reasons)
    ordered = tuple(places[event] for event in events if event in places)
    return Survey(ordered, reasons, unreached, tuple(notes))


@final
@dataclass(frozen=True, eq=False)
class Sightings:
    """What has been seen of a network so far.

    Args:
        uses: of the module.
        events: weights that were met, in their order.
        alone: weights with an obstacle in any of their layers, and which.
        forms: of each layer's weights.
        reached: of a weight of experts those that some position has come to.
    """

    uses: Uses
    events: list[Event] = field(default_factory=list)
    alone: dict[str, str] = field(default_factory=dict)
    forms: dict[tuple[nn.Module, str], str] = field(default_factory=dict)
    reached: dict[str, set[int]] = field(default_factory=dict)

    def meet(self, number: int, layer: nn.Module, inputs: Inputs) -> None:
        """Take note of a call in a batch.

        Raises:
            DataError: when the layer reads a number that is NaN or infinite.
        """
        path, names = self.uses[layer]
        for leaf, name in names.items():
            form = self.forms.get((layer, leaf), "plain")
            if form == "plain":  # what it is called with may be an obstacle another time
                form = self.forms[layer, leaf] = form_of(layer, leaf, inputs)
            if form not in FORMS:
                self.alone.setdefault(name, form)
                continue
            require_finite(path, inputs, number)
            if form == "packed":
                told = enumerate(experts_of(inputs, len(getattr(layer, leaf))))
                self.reached.setdefault(name, set()).update(expert for expert, places in told if len(places))
            if all(tensor.numel() for tensor in tensors_in(inputs[:1])):
                self.events.append(Event(name, layer, leaf, number, cast(Form, form)))

    def survey(self, params: Params, batches: int) -> Survey:
        """Return what was seen of a network with these weights in so many batches."""
        found = surveyed(self.uses, self.events, self.alone, batches)
        lost = {name: sorted({*range(len(params[name]))} - of) for name, of in self.reached.items()}
        said = [
            f"no token reached experts {listed(map(str, of))} of {name}: they are rounded by what they are"
            for name, of in lost.items()
            if of
        ]
        return replace(found, notes=(*found.notes, *said))
