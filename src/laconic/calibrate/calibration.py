"""A network with the samples that its layers are calibrated on: what each weight meets, and how much its errors matter.

    E|change of the outputs|² ≈ Σ over weights of tr(diag(s) (W − Ŵ) Σ (W − Ŵ)ᵀ)

Σ = E[Σ_p x_p x_pᵀ] is of the columns x that a weight multiplies (`laconic.theory.importance.columns`), s the mean
square of the gradient by what its layer writes. The network runs in evaluation mode, with weights given by name.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic import interrupts
from laconic.calibrate.forms import outputs as widths
from laconic.calibrate.meeting import (
    Call,
    Inputs,
    Meeting,
    Place,
    Reached,
    Survey,
    require_finite,
    tracing,
    uses_of,
    watching,
)
from laconic.calibrate.samples import drawn, kind_of, output_rows, split
from laconic.calibrate.sensitivity import By, Sensitivities, slopes, together
from laconic.calibrate.sightings import Sightings
from laconic.errors import DataError, LaconicError, PlanError
from laconic.models.params import Params, all_params_of, buffers_of, first_names
from laconic.theory.importance.covariance import Covariance
from laconic.theory.importance.directions import random_signs, signed_classes
from laconic.theory.importance.moments import Moments
from laconic.training.batches import Batch, Batches, copied, counted, size_of
from laconic.training.judges import Kind, described
from laconic.training.task import Task

SAMPLES = 1280
"""That are looked at unless somebody says how many: four fifths to calibrate on, a fifth to judge by."""


@final
@dataclass(frozen=True, eq=False)
class Calibration:
    """A network with the samples that its layers are calibrated on: see `of`.

    Names of weights are the first that the module has for each tensor.

    Args:
        task: the module and how it is called.
        seen: batches to calibrate on, in memory, where the module is; samples lie along the first axis.
        unseen: batches to judge by.
        notes: sentences on what was decided for the caller.
    """

    task: Task
    seen: tuple[Batch, ...]
    unseen: tuple[Batch, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, network: nn.Module | Task, source: Any = None, samples: int = SAMPLES, seed: int = 0) -> "Calibration":
        """Return a network with the first ``samples`` of a pass over ``source``, a fifth of them held out.

        Of each batch the last rows are held out, as many as it takes for a fifth of all samples up to there, of all of
        them at least one: whatever the order of the samples, those held out are spread over it.

        Args:
            network: a module, or a task, whose way to call its module and whose kind are taken.
            source: a `DataLoader`, a list of batches or whatever else gives some, a function without arguments that
                returns such a thing, or one tensor of samples; the task's training split unless told. A batch is what
                `Task` calls one; targets are not needed, and not kept unless the task has a ``forward`` of its own;
                where no task says what outputs are, integers for targets, one where a row of logits is, say that they
                are logits.
            samples: how many.
            seed: of the order of the batches.

        Raises:
            PlanError: when ``samples`` is not positive.
            DataError: when there is no source, or no samples, or inputs are NaN, and for a TorchScript module.

        >>> calibration = Calibration.of(nn.Linear(2, 3), torch.ones(20, 2))
        >>> sum(map(len, calibration.seen)), sum(map(len, calibration.unseen))
        (16, 4)
        """
        if not isinstance(samples, int) or samples < 1:
            raise PlanError(f"calibration takes a number of samples, at least 1, not {samples!r}")
        if not isinstance(network, nn.Module | Task):
            raise DataError(f"calibration is of a torch.nn.Module or a Task, not of a {type(network).__name__}")
        if source is None and not isinstance(network, Task):
            raise DataError("a module brings no data: give a DataLoader, a list of batches or a tensor of samples")
        module = network.module if isinstance(network, Task) else network
        if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
            raise DataError(
                "a TorchScript module does not let its layers be watched: give the module that it was made of, or use "
                "effort 'direct', which looks at weights alone"
            )
        task = network if isinstance(network, Task) else Task(network, Batches(lambda seed: ()), _no_loss)
        if source is not None:
            given = [source] if isinstance(source, Tensor) else source
            passing = Batches(lambda seed: given) if isinstance(given, Iterator) else None  # one pass is enough
            task = replace(task, train=passing or Batches.of(given, "calibration"))
        batches, classes = drawn(task, samples, seed)
        found = cls(task, *split(batches, samples))
        if task.kind or classes is None:
            return found
        outputs = found.whole_outputs(all_params_of(task.module), found.batches[0])
        return replace(found, task=replace(task, kind=kind_of(outputs, classes)))

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.task.module

    @property
    def kind(self) -> Kind | None:
        """What the outputs are, where the task says it."""
        return self.task.kind

    @property
    def batches(self) -> tuple[Batch, ...]:
        """All batches, those seen and then those unseen."""
        return self.seen + self.unseen

    def outputs(self, params: Params, batch: Batch) -> Tensor:
        """Return the outputs as rows: (rows, classes) of logits, or (samples, values).

        Logits of a task of classification have their classes along the second axis, as torch's losses want them; what
        a module itself calls ``logits`` has them along the last one. Of several outputs the first tensor counts.

        Args:
            params: every parameter by its name, as `Task.outputs` takes them.
            batch: one of `batches`.

        Raises:
            DataError: when the network fails on the batch, or gives no such tensor.
            WeightsError: as `Task.outputs`.
        """
        return output_rows(self.whole_outputs(params, batch), self.kind, counted(batch))[0]

    def traced(self, params: Params, batch: Batch) -> Tensor:
        """Return what `outputs` does, with gradients by those of ``params`` that ask for them."""
        with tracing(self.module):
            return output_rows(self._run(params, batch), self.kind, counted(batch))[0]

    def kind_with(self, params: Params) -> Kind:
        """Return what the outputs are: as the task says, or else as they are named."""
        return self.kind or output_rows(self.whole_outputs(params, self.batches[0]), None)[1]

    def whole_outputs(self, params: Params, batch: Batch) -> Any:
        """Return all that the module gives for a batch; errors are those of `outputs`."""
        with torch.no_grad(), watching(self.module):
            return self._run(params, batch)

    def survey(self, params: Params) -> Survey:
        """Return which weights can be calibrated: one run of all batches that are seen, watching every layer.

        All calls of all layers that share a weight count. The first survey says how far later runs have to go.

        Raises:
            DataError: when the network fails on a batch, or a layer reads numbers that are NaN or infinite.
            WeightsError: as `Task.outputs`.
        """
        seen = Sightings(uses_of(self.module))
        for number, batch in enumerate(self.seen):
            hooks = {layer: partial(seen.meet, number, layer) for layer in seen.uses}
            with torch.no_grad(), watching(self.module, hooks):
                self._run(params, batch)
        survey = seen.survey(params, len(self.seen))
        self.__dict__.setdefault("_first", survey)
        return survey

    def meetings(self, params: Params, name: str) -> Iterator[Meeting]:
        """Yield what a weight meets in each batch that is seen, running the network no further than to its last call.

        Args:
            params: every parameter by its name, those of a compressed network, too. How often a layer is called is a
                matter of the module and the batches: the first survey tells, which is made where there is none.
            name: of the weight; any that the module has for it.

        Raises:
            DataError: when the weight cannot be calibrated, or as `survey`.
            WeightsError: as `Task.outputs`.
        """
        place = self._known(params).place(first_names(self.module).get(name, name))
        for number, batch in enumerate(self.seen):
            yield Meeting(size_of(batch), self._calls(params, place, number) if place.calls[number] else ())

    def place(self, params: Params, name: str) -> Place:
        """Return where a weight is used, by any of its names; arguments and errors are those of `meetings`."""
        return self._known(params).place(first_names(self.module).get(name, name))

    def _calls(self, params: Params, place: Place, number: int) -> tuple[Call, ...]:
        """Return the calls by which one batch meets a weight."""
        calls = list[Call]()

        def meet(_: str, call: Call) -> None:
            last = len(calls) + 1 == place.calls[number]
            calls.append(call if last else replace(call, inputs=copied(call.inputs)))  # what follows may change them
            if last:
                raise Reached

        self._watch(params, number, {place.name: place}, meet)
        return tuple(calls)

    def moments_at(
        self, params: Params, name: str, original: Params | None = None, positions: int | None = None, seed: int = 0
    ) -> Moments:
        """Return the second moments of what one weight multiplies.

        Args:
            params: of the network whose columns x̂ they are of.
            name: of the weight.
            original: of another network, whose columns x the cross moments E[Σ_p x̂ xᵀ] are with; none unless told.
            positions: of a sample, at most; all unless told.
            seed: of their choice.

        Raises:
            DataError: as `meetings`; for an embedding, which has `frequencies`.
        """
        moments = Moments(positions, seed)
        others = None if original is None else self.meetings(original, name)
        for meeting in self.meetings(params, name):
            beside = () if others is None else next(others).columns()
            moments.add(meeting.columns(), meeting.samples, beside)
        return moments

    def moments(
        self, params: Params, names: Collection[str] | None = None, positions: int | None = None, seed: int = 0
    ) -> dict[str, Moments]:
        """Return what `moments_at` does, without cross moments, for several weights in one run of each batch.

        Args:
            params: every parameter by its name.
            names: first names; of all weights that can be calibrated and are no embeddings unless told.
            positions: of a sample, at most; all unless told.
            seed: of their choice.
        """
        every = {place.name: place for place in self._known(params).places if not place.diagonal}
        chosen = {name: every[name] for name in every if names is None or name in names}
        gathered = {name: Moments(positions, seed) for name in chosen}
        for number in range(len(self.seen)):
            self._gather(params, number, chosen, gathered)
        return gathered

    def covariances(self, params: Params, names: Collection[str], positions: int) -> dict[str, Covariance]:
        """Return means and covariances of what several weights multiply; arguments are those of `moments`."""
        places = {place.name: place for place in self._known(params).places if place.name in names}
        gathered = {name: Covariance(positions) for name in places}
        for number in range(len(self.seen)):
            self._gather(params, number, places, gathered)
        return gathered

    def _gather(
        self, params: Params, number: int, places: Mapping[str, Place], gathered: Mapping[str, Moments | Covariance]
    ) -> None:
        """Add what one batch meets to the moments of several weights, each as soon as its last call is there."""
        size, waiting = size_of(self.seen[number]), {name: list[Tensor]() for name in places}

        def meet(name: str, call: Call) -> None:
            if name in waiting:
                waiting[name].append(call.columns())
                if len(waiting[name]) == places[name].calls[number]:
                    gathered[name].add(waiting.pop(name), size)
            if not waiting:
                raise Reached

        self._watch(params, number, places, meet)
        for name, columns in waiting.items():
            gathered[name].add(columns, size)

    def frequencies(self, params: Params, name: str) -> Tensor:
        """Return how often a sample reads each row of an embedding, in the mean: the diagonal of Σ; float64, (rows,).

        Raises:
            DataError: as `meetings`; for a weight that is no embedding.
        """
        place = self._known(params).place(first_names(self.module).get(name, name))
        if not place.diagonal:
            raise DataError(f"{name} is no embedding: it has moments, not frequencies")
        meetings = list(self.meetings(params, name))
        counts = [call.frequencies() for meeting in meetings for call in meeting.calls]
        return torch.stack(counts).sum(0) / sum(meeting.samples for meeting in meetings)

    def sensitivities(
        self, params: Params, seed: int = 0, by: By = "outputs", *, products: bool = False
    ) -> Sensitivities:
        """Return how much the outputs move with what each weight writes: one backward pass for each batch that is seen.

        Args:
            params: every parameter by its name.
            seed: of what is drawn.
            by: see `laconic.calibrate.sensitivity`: "outputs", or "weights", which costs more and says more.
            products: whether it is told what outputs are together.

        Raises:
            DataError: as `survey` and `outputs`.
            PlanError: for another ``by``.
            WeightsError: as `Task.outputs`.
        """
        places = {place.name: place for place in self._known(params).places}
        generator = torch.Generator().manual_seed(seed)
        parts = (
            slopes(
                self.task, params, places, partial(self._run, batch=batch), generator, by,
                products=products, kept=counted(batch),
            )
            for batch in self.seen
        )  # fmt: skip
        own = dict(self.module.named_parameters(remove_duplicate=False))
        sizes = {
            name: own[name].shape[1] if place.diagonal else widths(own[name].shape, place.form)
            for name, place in places.items()
        }
        return together(parts, sizes, by)

    def number_sensitivities(self, params: Params, names: Collection[str], seed: int = 0) -> dict[str, float]:
        """Return how much the outputs move with one number of each tensor: E g², g the gradient by it, over a sample.

        In the units of `sensitivities`, whatever is done with the tensor: one backward pass for each batch that is
        seen.

        Args:
            params: every parameter by its name.
            names: of some; those that no gradient reaches are not in what is returned.
            seed: of what is drawn.

        Raises:
            DataError: as `outputs`.
        """
        generator, sums = torch.Generator().manual_seed(seed), dict.fromkeys(names, 0.0)
        kind = self.kind_with(params) if names else None
        draw = signed_classes(generator) if kind == "classification" else random_signs(1.0, 1, generator)
        for batch in self.seen if names else ():
            interrupts.check()
            leaves = {name: params[name].detach().clone().requires_grad_() for name in names}
            rows = self.traced({**params, **leaves}, batch)
            if not rows.requires_grad:
                return {}
            direction = draw(rows.detach(), None)[0].to(rows.dtype)
            slopes_of = torch.autograd.grad(rows, list(leaves.values()), direction, allow_unused=True)
            for name, slope in zip(leaves, slopes_of, strict=True):
                known = slope is not None and bool(slope.isfinite().all())
                sums[name] += float(slope.double().square().mean()) if known else 0.0
        samples = sum(map(size_of, self.seen))
        return {name: total / samples for name, total in sums.items() if total > 0}

    def _known(self, params: Params) -> Survey:
        """Return the first survey."""
        return self.__dict__.get("_first") or self.survey(params)

    def _watch(
        self, params: Params, number: int, places: Mapping[str, Place], meet: Callable[[str, Call], None]
    ) -> None:
        """Run a batch and hand over each call that uses one of some weights before it runs; `Reached` ends the run."""
        uses, kept = uses_of(self.module), counted(self.seen[number])

        def hand(layer: nn.Module, inputs: Inputs) -> None:
            path, names = uses[layer]
            for leaf, name in names.items():
                if name in places and isinstance(layer, nn.Embedding) == places[name].diagonal:
                    require_finite(path, inputs, number)
                    own = {leaf: tensor for leaf, tensor in layer._parameters.items() if tensor is not None}
                    meet(name, Call(layer, leaf, inputs, own, kept, places[name].form))

        wanted = (layer for layer, (_, names) in uses.items() if not places.keys().isdisjoint(names.values()))
        hooks = {layer: partial(hand, layer) for layer in wanted}
        with suppress(Reached), torch.no_grad(), watching(self.module, hooks):
            self._run(params, self.seen[number])

    @cached_property
    def _buffers(self) -> set[str]:
        """Names of the module's buffers."""
        return buffers_of(self.module)

    def _run(self, params: Params, batch: Batch) -> Any:
        """Return what the module gives for a copy of a batch."""
        interrupts.check()
        try:
            # A module may change its inputs in place, and its buffers.
            own = {name: tensor.clone() if name in self._buffers else tensor for name, tensor in params.items()}
            return self.task.outputs(own, copied(batch))
        except LaconicError:
            raise
        except Exception as failure:
            number = next((place for place, own in enumerate(self.batches) if own is batch), "given")
            raise DataError(
                f"the network fails on batch {number} of the calibration, {described(batch)}: {failure}"
            ) from failure


def _no_loss(outputs: Any, batch: Batch) -> Tensor:
    raise AssertionError("a calibration takes no loss")
