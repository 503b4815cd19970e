"""One split of the data: batches that can be passed over again and again, each pass a function of its seed."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import Parameter, signature
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from laconic.errors import DataError

Batch = Any
"""What a step of training is given: (inputs, targets), a dict of tensors, or one tensor, which is its own target."""

Source = Any
"""Where batches come from: see `Batches.of`."""

SPLITS = ("train", "validation", "test")
TARGETS = ("labels", "targets", "target")
"""Where the targets are in a batch that is a dict: the first of these that it has."""


@final
@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of one split.

    Args:
        start: seed → one pass over them: the same batches for the same seed.
        length: how many a pass has, where that is known.
    """

    start: Callable[[int], Iterable[Batch]]
    length: int | None = None

    @classmethod
    def of(cls, source: Source, split: str) -> "Batches":
        """Return what a person has as batches.

        Args:
            source: a `DataLoader`, a list or whatever else gives its batches anew each time it is asked, or a function
                without arguments that returns such a thing, or a generator.
            split: names it in errors.

        Raises:
            DataError: for anything else; it says what to give instead.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, DataLoader):
            known = not isinstance(source.dataset, IterableDataset)
            return cls(partial(_loaded, source), len(source) if known else None)
        if problem := _problem(source):
            raise DataError(f"{split}: {problem}")
        if isinstance(source, Iterable):
            return cls(partial(steady, lambda: source), len(source) if isinstance(source, Sized) else None)
        return cls(partial(steady, source))

    def epoch(self, seed: int) -> Iterator[Batch]:
        """Yield the batches of one pass; whole passes are counted on the way.

        Raises:
            DataError: when there are none, and were some before.
        """
        number = 0
        for number, batch in enumerate(self.start(seed), 1):  # noqa: B007  the last one is the count
            yield batch
        if not number and self.known:
            raise DataError("no batches are left for another pass; a function must make them anew each time")
        self.__dict__.setdefault("count", number)

    @property
    def known(self) -> int | None:
        """The number of batches in a pass, where something tells without making one."""
        return self.__dict__.get("count", self.length)

    @cached_property
    def count(self) -> int:
        """The number of batches in a pass: where nothing tells, and none has been made yet, one is made to count."""
        return sum(1 for _ in self.start(0)) if self.length is None else self.length


def _problem(source: object) -> str:
    """Return why ``source`` gives no batches again and again, and what does, or nothing."""
    kind = type(source).__name__
    if isinstance(source, Iterator):
        return f"a {kind} is exhausted after one pass; give the function that makes it, or a list of its batches"
    if isinstance(source, Dataset):
        return f"a {kind} has samples, not batches: give DataLoader(dataset, batch_size=..., shuffle=...)"
    if isinstance(source, Tensor | Mapping) or (isinstance(source, tuple) and any(map(torch.is_tensor, source))):
        return "this is one batch; give a list of batches, [batch], or a DataLoader"
    if isinstance(source, str | nn.Module) or not (isinstance(source, Iterable) or callable(source)):
        return f"batches come from a DataLoader, a list of batches, or a function that returns them, not from a {kind}"
    if not isinstance(source, Iterable) and _needed(source):
        return (
            f"a function that returns batches takes no arguments, but this one needs {', '.join(_needed(source))}; "
            "Task.of takes a function of (split, seed)"
        )
    return ""


def _needed(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that ``function`` cannot be called without."""
    try:
        parameters = signature(function).parameters.values()
    except ValueError:  # some built-in functions have none to look at
        return []
    variable = Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD
    return [one.name for one in parameters if one.default is Parameter.empty and one.kind not in variable]


def steady(iterate: Callable[[], Iterable[Batch]], seed: int) -> Iterator[Batch]:
    """Yield what ``iterate()`` gives, as a function of ``seed``.

    While a batch is made, the global generators of torch (on the CPU), NumPy and Python are its own; between batches
    they are the caller's, whose own draws it does not disturb.
    """
    own, batches = _seeded_state(seed), None
    while True:
        callers = _state()
        _restore(own)
        try:
            batches = iter(iterate()) if batches is None else batches
            batch = next(batches, _END)
        finally:
            own = _state()
            _restore(callers)
        if batch is _END:
            return
        yield batch


_END = object()


def _loaded(loader: DataLoader[Any], seed: int) -> Iterator[Batch]:
    """Yield the batches of a loader; generators that it, or its sampler, brings are seeded, too."""
    samplers = loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)
    for generator in (getattr(holder, "generator", None) for holder in (loader, *samplers)):
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
    return steady(lambda: loader, seed)


def _state() -> tuple[Any, Any, Any]:
    """Return the states of the global generators on the CPU."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  what data sets draw from


def _restore(state: tuple[Any, Any, Any]) -> None:
    """Give the global generators these states."""
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    random.setstate(state[2])


def _seeded_state(seed: int) -> tuple[Any, Any, Any]:
    """Return the states that the generators have after seeding."""
    words = np.random.RandomState(seed % 2**32)
    return torch.Generator().manual_seed(seed).get_state(), words.get_state(), random.Random(seed).getstate()


def held_out(source: Source, seed: int) -> tuple[Source, Source, str]:
    """Return training data without a tenth of it, that tenth in order, and a sentence that says so.

    Of a `DataLoader` that shuffles all samples or takes them in order these are samples, of a list batches. From
    anything else, and from less than ten, nothing is held out: then there is no tenth, and the sentence says why.
    """
    if isinstance(source, DataLoader):
        dataset, unit = source.dataset, "samples"
        whole = _rebuilt(source, None) is not None
    else:
        dataset, unit, whole = source, "batches", isinstance(source, Sequence)
    total: int = len(dataset) if whole else 0  # type: ignore[arg-type]  # torch: some data sets have no length
    if total < 10:
        why = "has fewer than ten " + unit if whole else "gives its batches in a way of its own"
        return source, None, f"no validation: none was given, and train {why}, of which nothing is held out"
    alone = isinstance(source, DataLoader) and not source.drop_last and (source.batch_size or 1) > 1
    count = total // 10
    if alone and (total - count) % source.batch_size == 1:  # batch normalization fails on a last batch of one sample
        count += 1
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist()
    tenth, others = sorted(order[:count]), sorted(order[count:])
    note = f"validation: none was given, so {len(tenth):,} of {total:,} {unit} of train are held out"
    if not isinstance(source, DataLoader):
        return [source[place] for place in others], [source[place] for place in tenth], note
    training = _rebuilt(source, others)
    if not len(training):
        return source, None, "no validation: none was given, and train is one batch, which drop_last wants whole"
    return training, _rebuilt(source, tenth, validation=True), note


def _rebuilt(loader: DataLoader[Any], rows: Sequence[int] | None, *, validation: bool = False) -> Any:
    """Return a loader as ``loader``, of some samples; None where it is not one that takes each sample once."""
    sampler, batching = loader.sampler, type(loader.batch_sampler)
    shuffles = type(sampler) is torch.utils.data.RandomSampler
    whole = not shuffles or not (sampler.replacement or sampler.num_samples != len(loader.dataset))  # type: ignore
    plain = shuffles or type(sampler) is torch.utils.data.SequentialSampler
    if type(loader) is not DataLoader or batching is not torch.utils.data.BatchSampler or not (plain and whole):
        return None
    names = (
        "batch_size", "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn",
        "multiprocessing_context", "generator", "prefetch_factor", "persistent_workers",
    )  # fmt: skip
    how: dict[str, Any] = {name: getattr(loader, name) for name in names}
    how |= {"shuffle": shuffles and not validation, "drop_last": loader.drop_last and not validation}
    rows = range(len(loader.dataset)) if rows is None else rows  # type: ignore[arg-type]
    return DataLoader(torch.utils.data.Subset(loader.dataset, rows), **how)


def inputs_of(batch: Batch) -> Any:
    """Return the inputs of a batch: the first of a tuple or list; a dict, or a tensor, as it is."""
    return batch[0] if isinstance(batch, tuple | list) else batch


def targets_of(batch: Batch) -> Any:
    """Return the targets of a batch: the second of a tuple or list; of a dict what `TARGETS` names; a tensor itself.

    Raises:
        DataError: for a dict that names none.
    """
    if isinstance(batch, tuple | list):
        return batch[1] if len(batch) > 1 else batch[0]
    if not isinstance(batch, Mapping):
        return batch
    for name in TARGETS:
        if name in batch:
            return batch[name]
    raise DataError(
        f"a batch with {', '.join(map(str, batch))} has none of {', '.join(TARGETS)}; "
        "a loss whose second parameter is named 'batch' is given all of it"
    )


def arguments_of(module: nn.Module, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what ``module`` is called with: a tuple or list of inputs as arguments, a dict by name.

    Of a batch that is a dict, targets that ``module.forward`` does not take are left out.
    """
    inputs = inputs_of(batch)
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    if not isinstance(inputs, Mapping):
        return (inputs,), {}
    taken = signature(module.forward).parameters.values()
    names = {one.name for one in taken}
    if inputs is not batch or any(one.kind is Parameter.VAR_KEYWORD for one in taken):
        return (), dict(inputs)
    return (), {name: value for name, value in inputs.items() if name in names or name not in TARGETS}


def moved(batch: Batch, device: torch.device | None) -> Batch:
    """Return a batch with its tensors on a device; as it is where all are there, or none is named."""
    if isinstance(batch, Tensor):
        return batch if device in (None, batch.device) else batch.to(device)
    if isinstance(batch, Mapping):
        pairs = {name: moved(part, device) for name, part in batch.items()}
        return pairs if any(pairs[name] is not batch[name] for name in batch) else batch
    if not isinstance(batch, tuple | list):
        return batch
    parts = [moved(part, device) for part in batch]
    if all(part is own for part, own in zip(parts, batch, strict=True)):
        return batch
    return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


def size_of(batch: Batch) -> int:
    """Return the number of samples: the length of the targets, or else of the first tensor in the batch that has any.

    Raises:
        DataError: when there is no such tensor.
    """
    try:
        targets = targets_of(batch)
    except DataError:  # a dict may hold them under any name
        targets = None
    lengths = [len(tensor) for tensor in (*tensors_in(targets), *tensors_in(batch)) if tensor.ndim]
    if not lengths:
        raise DataError("a batch has no tensor that tells how many samples it holds")
    return next(filter(None, lengths), 0)


def counted(batch: Batch) -> Tensor | None:
    """Return which positions count, bool, shape (samples, length): not those that an attention mask leaves out.

    None where inputs have no ``attention_mask`` by name, of two axes.
    """
    inputs = inputs_of(batch)
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return mask.bool() if isinstance(mask, Tensor) and mask.ndim == 2 else None


def rows_of(batch: Any, start: int, stop: int) -> Any:
    """Return samples ``start`` to ``stop`` of a batch: those rows of all that has as many as there are samples.

    Raises:
        DataError: for a tensor with another number of rows: samples lie along the first axis.
    """
    return _rows(batch, size_of(batch), start, stop)


def _rows(part: Any, size: int, start: int, stop: int) -> Any:
    """Return some rows of all within ``part`` that has ``size`` of them."""
    if isinstance(part, Tensor):
        if part.ndim and len(part) not in (0, size):  # what is empty stands for nothing
            raise DataError(
                f"a batch of {size} samples has a tensor of shape {tuple(part.shape)}: parts are taken along the first "
                "axis, which must be that of the samples"
            )
        return part[start:stop] if part.ndim else part
    if isinstance(part, Mapping):
        return {name: _rows(value, size, start, stop) for name, value in part.items()}
    if isinstance(part, tuple | list):
        if len(part) == size and next(tensors_in(part), None) is None:  # names, one for each sample
            return part[start:stop]
        return tuple(_rows(value, size, start, stop) for value in part)
    return part


def tensors_in(part: Any) -> Iterator[Tensor]:
    """Yield the tensors in a batch."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Mapping | tuple | list):
        for value in part.values() if isinstance(part, Mapping) else part:
            yield from tensors_in(value)


def copied(part: Any) -> Any:
    """Return the same with tensors of its own: what layers change in place stays as it was."""
    if isinstance(part, Tensor):
        return part.clone()
    if isinstance(part, Mapping):
        return {name: copied(value) for name, value in part.items()}
    if not isinstance(part, tuple | list):
        return part
    parts = [copied(value) for value in part]
    return type(part)(*parts) if hasattr(part, "_fields") else tuple(parts)
