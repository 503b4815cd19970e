"""From names on the command line to a task, and batches that move a progress bar."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from laconic.cli.console import Output
from laconic.cli.options import Subject
from laconic.errors import DataError
from laconic.models import data, nets
from laconic.models.params import Params, once, params_of
from laconic.training.task import Batch, Task, classification

IDENTITY: tuple[str, ...] = ("net", "data", "preprocessing")
"""The metadata of a checkpoint that go on to the `.lac` file."""


def task_of(
    net: str | None,
    data_name: str | None,
    data_dir: Path | None,
    factory: str | None,
    metadata: Mapping[str, str],
    *,
    batch: int = 128,
    seed: int = 0,
) -> Task:
    """Return the task that the options name; what they leave open is taken from the metadata of the weights.

    Raises:
        DataError: when nothing says which network or data, when the weights are of another network, and for data
            that cannot be read.
    """
    if factory is not None:
        if net or data_name:
            raise DataError("--task brings its own network and data: leave out --net and --data")
        return load_factory(factory)
    net = net or metadata.get("net")
    data_name = data_name or metadata.get("data")
    if net is None or data_name is None:
        missing = "--net" if net is None else "--data"
        raise DataError(f"the weights do not say what they are: give {missing} (or --task for a network of your own)")
    preprocessing = nets.preprocessing_of(net, data_name)
    nets.check_identity(metadata, net, data_name, preprocessing)
    augment = "crop and flip" if data_name.startswith("cifar") else None
    images = data.load(data_name, data_dir, preprocessing, augment=augment)
    module = nets.build(net, images.shape, images.classes, seed)
    return classification(module, images, nets.identity(net, data_name, preprocessing), batch=batch)


def task_for(subject: Subject, metadata: Mapping[str, str], *, batch: int = 128, seed: int = 0) -> Task:
    """Return the task of the options, see `task_of`."""
    return task_of(subject.net, subject.data, subject.data_dir, subject.task, metadata, batch=batch, seed=seed)


def load_factory(factory: str) -> Task:
    """Return the task that ``package.module:factory`` makes; modules in the working folder are found too.

    Raises:
        DataError: when there is no such module or callable, or it returns something else.
    """
    module_name, _, name = factory.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        subject = getattr(importlib.import_module(module_name), name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"--task {factory}: {error}; give package.module:factory, a callable without arguments"
        ) from error
    finally:
        sys.path.pop(0)
    if not isinstance(subject, Task):
        raise DataError(f"--task {factory} returned {type(subject).__name__}, not a laconic.Task")
    return subject


def counted(task: Task, tick: Callable[[float], None], split: str = "train") -> Task:
    """Return the same task, which tells ``tick`` how many batches of ``split`` have been taken so far."""
    taken, wanted = 0, split

    def watched(batches: Iterable[Batch]) -> Iterator[Batch]:
        nonlocal taken
        for batch in batches:
            yield batch
            taken += 1
            tick(taken)

    def batches(split: str, seed: int) -> Iterable[Batch]:
        loader = task.batches(split, seed)
        return watched(loader) if split == wanted else loader

    return replace(task, batches=batches)


def batches_per_epoch(task: Task, split: str = "train") -> int:
    """Return how many batches one pass over ``split`` has; they are made once to be counted."""
    return sum(1 for _ in task.batches(split, 0))


def evaluation(task: Task, params: Params, split: str, say: Output) -> dict[str, float]:
    """Return loss and measures on a split, with a progress bar meanwhile.

    Raises:
        DataError: when the task does not have the split.
    """
    with say.progress(f"evaluating on {split}", max(1, batches_per_epoch(task, split))) as tick:
        return counted(task, tick, split).evaluate(params, split)


def evaluations(task: Task, params: Params, say: Output) -> dict[str, dict[str, float]]:
    """Return loss and measures on the validation and test splits, without those that the task does not have."""
    measures: dict[str, dict[str, float]] = {}
    for split in ("validation", "test"):
        try:
            measures[split] = evaluation(task, params, split, say)
        except DataError as error:
            say.note(f"no figures for {split}: {error}")
    return measures


def check_weights(params: Mapping[str, torch.Tensor], task: Task) -> None:
    """Raise `DataError` unless names and shapes are those of the task's module; tied tensors go by any of theirs.

    Raises:
        WeightsError: when names of one tensor come with different values.
    """
    own = {name: tuple(tensor.shape) for name, tensor in params_of(task.module).items()}
    given = {first: tuple(params[name].shape) for first, name in once(task.module, params).items()}
    differs = [f"{name} {given.get(name, 'missing')} instead of {own.get(name, 'nothing')}"
               for name in sorted(own.keys() | given.keys()) if own.get(name) != given.get(name)]  # fmt: skip
    if differs:
        raise DataError(f"the weights are not those of this network: {'; '.join(differs)}")
