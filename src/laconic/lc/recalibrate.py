"""Batch normalization after compression: its running statistics follow what compression has done to its inputs.

Compressed weights shift and scale what each layer reads, and such errors add up from layer to layer. With the same
samples through both networks, for each channel of each layer,

    mean ← mean + (mean of the compressed − mean of the original)
    variance ← variance · (variance of the compressed / variance of the original), the ratio held to [1/2, 2]

Statistics move by the *difference*, as biases do in bias correction (Nagel et al. 2019, arXiv 1906.04721, section 4.2):
what the samples say of themselves cancels. Re-estimation (Nagel et al. 2022, arXiv 2203.11086, section 3) would take
the statistics of the compressed network on the samples as they are, with the sampling error and without the ways of the
training; `docs/notes/recalibration.md` has figures of both.

Layers move in turn: each before it runs, for those after it read what it then writes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from laconic import interrupts
from laconic.errors import DataError, PlanError
from laconic.format.codes import Code
from laconic.format.codes.sharing import unshared
from laconic.format.lossless import lossless, together
from laconic.models.params import Params, beside, first_names, once, to_numpy
from laconic.theory.importance.reading import wide
from laconic.training.batches import Batch, rows_of, size_of
from laconic.training.judges import distance
from laconic.training.task import Task, mode

_HELD = (0.5, 2.0)
"""What the ratio of variances is held to: a channel that has all but died is not blown up."""


@final
@dataclass(frozen=True)
class Recalibrated:
    """What recalibration has come to, on training samples that it has not seen.

    Args:
        before: how far the outputs of the compressed network are from those of the original: KL(original ‖ compressed)
            of their softmax for classification, in nats a sample; else their squared difference over the variance of
            the original's.
        after: the same with statistics moved.
        kept: whether they were: where the distance does not fall, or the file has no room, all stay as they were.
        layers: how many layers of batch normalization there are whose statistics are lossless.
        room: whether the file is within its budget with statistics moved.
    """

    before: float
    after: float
    kept: bool
    layers: int
    room: bool = True


@torch.no_grad()
def recalibrate(
    task: Task, params: Params, compressed: Params, samples: int, seed: int = 0
) -> tuple[Recalibrated, dict[str, Tensor]]:
    """Return what recalibration comes to, and the running statistics that it moves, by their names in ``compressed``.

    Args:
        task: its module is in evaluation mode meanwhile; its training split is read once, and no other.
        params: the original network, parameters and buffers by name.
        compressed: the same names and shapes; statistics that differ from the original's are lossy, and stay.
        samples: of the training split, for the statistics; as many further ones are for the distance.
        seed: of the order of the training batches.

    Raises:
        PlanError: when ``samples`` is not positive, or no layer has statistics that can move.
        DataError: when the training split has fewer than two times ``samples``.
    """
    if not isinstance(samples, int) or samples < 1:
        raise PlanError(f"recalibrate takes a number of samples, at least 1, not {samples!r}")
    names = once(task.module, compressed).values()
    params, compressed = (beside(task.module, {name: given[name] for name in names}) for given in (params, compressed))
    layers = statistics_of(task.module, params, compressed)
    if not layers:
        raise PlanError(
            "recalibrate moves running statistics of batch normalization: the module has no such layer, or none that "
            "tracks them, or they are compressed with loss"
        )
    moved = {**compressed, **{name: compressed[name].clone() for pair in layers.values() for name in pair}}
    following, outputs = Following(task, params, moved, layers), list[tuple[Tensor, ...]]()
    with mode(task.module, training=False):
        for piece, unseen in pieces(task, samples, seed):
            if unseen:
                outputs.append(tuple(_rows(task, given, piece) for given in (params, compressed, moved)))
            else:
                following(piece)
    original, *others = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    before, after = (distance(original, other, task.kind) for other in others)
    kept = after < before  # not where either is NaN
    told = {name: moved[name] for pair in layers.values() for name in pair} if kept else {}
    return Recalibrated(before, after, kept, len(layers)), told


def _rows(task: Task, params: Params, piece: Batch) -> Tensor:
    """Return the outputs for a piece of samples: a row of logits for each class that is named, or of values.

    Raises:
        DataError: when they are not one tensor.
    """
    outputs = task.outputs(params, piece)
    if not isinstance(outputs, Tensor):
        raise DataError(
            f"recalibrate compares outputs that are one tensor, not a {type(outputs).__name__}: give the task a "
            "forward that returns one"
        )
    if task.kind == "classification" and outputs.ndim > 1:
        return outputs.movedim(1, -1).flatten(0, -2)
    return outputs.reshape(-1, 1) if outputs.ndim > 2 else outputs


def with_statistics(codes: Mapping[str, Code], statistics: Params, module: nn.Module) -> dict[str, Code]:
    """Return ``codes`` with lossless ones of other running statistics, under all names that the module has for each."""
    firsts = first_names(module)
    new = {firsts[name]: lossless(to_numpy(tensor)) for name, tensor in statistics.items()}
    return together({name: new.get(firsts.get(name, name), code) for name, code in unshared(codes).items()})


@final
class Following:
    """Statistics that follow the inputs of two networks, one piece of samples after the other.

    Args:
        task: its module is in evaluation mode.
        params: the original network.
        moved: the compressed one, whose statistics move in place.
        layers: names of the running mean and variance by the layer's own name.
    """

    def __init__(self, task: Task, params: Params, moved: Params, layers: Mapping[str, tuple[str, str]]) -> None:
        self._task, self._params, self._moved, self._layers = task, params, moved, layers
        self._moments = {name: (Moments(), Moments()) for name in layers}

    def __call__(self, piece: Batch) -> None:
        """Let both networks read a piece; each layer of the second moves by all that both have read, then runs."""
        waiting: dict[str, list[Tensor]] = {name: [] for name in self._layers}

        def read(name: str, inputs: Tensor) -> None:
            waiting[name].append(Moments.sums(inputs))

        def follow(name: str, inputs: Tensor) -> None:
            original, compressed = self._moments[name]
            original.add(waiting[name].pop(0))  # of the same call: a layer may run several times
            compressed.add(Moments.sums(inputs))
            mean, variance = self._layers[name]
            self._moved[mean].copy_(self._params[mean] + (compressed.mean - original.mean))
            self._moved[variance].copy_(self._params[variance] * ratio(compressed.variance, original.variance))

        for params, hook in ((self._params, read), (self._moved, follow)):
            with listening(self._task.module, self._layers, hook):
                self._task.outputs(params, piece)


@final
class Moments:
    """Mean and variance of each channel over inputs of a layer, float64."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    @staticmethod
    def sums(inputs: Tensor) -> Tensor:
        """Return number, sum and sum of squares of each channel of inputs (samples, channels, ...): (3, channels)."""
        variance, mean = torch.var_mean(wide(inputs).transpose(0, 1).flatten(1), 1, correction=0)
        mean, count = mean.double(), inputs.numel() // inputs.shape[1]
        return count * torch.stack([torch.ones_like(mean), mean, variance.double() + mean.square()])

    def add(self, sums: Tensor) -> None:
        """Add the `sums` of further inputs."""
        self._sums = sums if self._sums is None else self._sums + sums

    @property
    def mean(self) -> Tensor:
        """The mean, shape (channels,)."""
        assert self._sums is not None, "inputs have been added"
        return self._sums[1] / self._sums[0]

    @property
    def variance(self) -> Tensor:
        """The mean squared distance from the mean, shape (channels,)."""
        assert self._sums is not None, "inputs have been added"
        return (self._sums[2] / self._sums[0] - self.mean.square()).clamp_min(0)


def ratio(compressed: Tensor, original: Tensor) -> Tensor:
    """Return how many times variances have grown, held to [1/2, 2]; 1 for a channel that never varied."""
    return torch.where(original > 0, compressed / original, 1.0).clamp(*_HELD)


@contextmanager
def listening(module: nn.Module, layers: Iterable[str], hook: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``hook`` with name and inputs of a layer before it runs."""

    def listen(name: str) -> RemovableHandle:
        return module.get_submodule(name).register_forward_pre_hook(lambda _, inputs: hook(name, inputs[0]))

    handles = [listen(name) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def statistics_of(module: nn.Module, params: Params, compressed: Params) -> dict[str, tuple[str, str]]:
    """Return the names of running mean and variance, by layer, where compression has left both as they were."""
    names, firsts = once(module, compressed), first_names(module)

    def statistics(layer: str) -> list[str]:
        own = [".".join(filter(None, (layer, kind))) for kind in ("running_mean", "running_var")]
        there = [names[firsts[name]] for name in own if name in firsts and firsts[name] in names]
        return [name for name in there if torch.equal(params[name], compressed[name])]

    layers = [name for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)]
    pairs = {layer: statistics(layer) for layer in layers}
    return {layer: (pair[0], pair[1]) for layer, pair in pairs.items() if len(pair) == 2}


def pieces(task: Task, samples: int, seed: int) -> Iterator[tuple[Batch, bool]]:
    """Yield two times ``samples`` training samples; those of the second half are marked as unseen.

    Raises:
        DataError: when there are fewer.
    """
    done = 0
    for batch in task.batches("train", seed):
        interrupts.check()
        size = size_of(batch)
        seen, end = (min(max(wanted - done, 0), size) for wanted in (samples, 2 * samples))
        if seen:
            yield rows_of(batch, 0, seen), False
        if end > seen:
            yield rows_of(batch, seen, end), True
        done += size
        if done >= 2 * samples:
            return
    raise DataError(
        f"recalibrate reads {samples} training samples, and as many further ones to judge by; there are {done} in all: "
        f"say {done // 2} or fewer"
    )
