"""From names on the command line to a task, and batches that move a progress bar."""

import importlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from laconic.cli.console import Output
from laconic.cli.options import Data, Subject
from laconic.deploy.edits import edits_of
from laconic.deploy.narrowing import narrow
from laconic.errors import DataError, LaconicError, PlanError
from laconic.format import container
from laconic.format.signatures import is_lac
from laconic.models import data, nets
from laconic.models.checkpoints import Checkpoint, open_checkpoint, quantization_told
from laconic.models.params import Params, all_of, beside, first_names, once, params_of
from laconic.models.quantized import quantized
from laconic.models.standing import Standing
from laconic.models.state_dicts import named_as
from laconic.training.batches import Batch, Batches
from laconic.training.binary_activations import as_told
from laconic.training.task import Task, classification, mode, samples_digest

BATCH = 128
"""Samples per training batch of a reference network, unless --batch says."""

_DOUBTED = 2
"""Batches of the validation data that weights are tried on, to see whether they are of this network."""


def task_of(
    net: str | None,
    data_name: str | None,
    data_dir: Path | None,
    factory: str | None,
    metadata: Mapping[str, str],
    *,
    batch: int = BATCH,
    seed: int = 0,
    augmented: bool = True,
) -> Task:
    """Return the task that the options name; what they leave open is taken from the metadata of the weights.

    Training batches of a reference network are augmented where publications do it, unless ``augmented`` is not set;
    what ``factory`` makes is as it makes it.

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
    augment = "crop and flip" if augmented and data_name.startswith("cifar") else None
    images = data.load(data_name, data_dir, preprocessing, augment=augment)
    module = nets.build(net, images.shape, images.classes, seed)
    return classification(module, images, nets.identity(net, data_name, preprocessing), batch=batch)


def opened(
    say: Output, path: Path, key: str | None = None, *, as_stored: bool = False, names: Collection[str] = ()
) -> Checkpoint:
    """Return what a checkpoint holds, and say what was chosen, left out or renamed.

    Args:
        say: how this process talks.
        path: the file.
        key: where the network is in it.
        as_stored: whether what is quantized already stays so; else it is the weights that it stands for.
        names: of a network that it is compared with: where these are all of its own, it stays as it is stored.
    """
    checkpoint = open_checkpoint(path, key)
    say.note(*checkpoint.notes)
    return checkpoint if as_stored or set(names) == set(checkpoint.params) else _standing(say, path, checkpoint)


def _standing(say: Output, path: Path, read: Checkpoint) -> Checkpoint:
    """Return a network of which weights that are quantized already are what they stand for."""
    found = quantized(read.params, read.told)
    if not found.layers:
        return read
    say.note(f"{path.name}: {found}: taken as the weights that they stand for")
    return read.standing(Standing(read.params, found))


def weights_of(say: Output, path: Path, key: str | None = None, limit: int | None = None) -> Checkpoint:
    """Return what a checkpoint or a `.lac` file holds, decompressed.

    Raises:
        DataError: for a file that is neither, or a key of a file of one network.
        FormatError: for a `.lac` file that is damaged, or holds more than the limit allows.
    """
    if not is_lac(path):
        return opened(say, path, key)
    if key is not None:
        raise DataError(f"{path} is a .lac file, which holds one network: leave out --key {key}")
    config, told = quantization_told(path if path.is_dir() else path.parent)
    say.note(*told)
    with container.open(path, limit) as file:
        return _standing(say, path, Checkpoint(all_of(file), dict(file.metadata), (), config))


@contextmanager
def needing_a_task(who: str) -> Iterator[None]:
    """Let the error of a task that is not there say ``who``, if anyone, needs it for its data."""
    try:
        yield
    except DataError as error:
        if not who:
            raise
        raise DataError(f"{who} a task, to measure on its data; {error}") from error


def task_for(say: Output, subject: Subject, metadata: Mapping[str, str], **how: Any) -> Task:
    """Return the task of the options, see `task_of`, and say what it has decided by itself.

    Its network is as small as that of the weights, where these are of one that was shrunk, and what its layers read is
    binary where it was trained so.

    Raises:
        PlanError: for ``--batch`` with a task, whose batches are its own.
    """
    if isinstance(subject, Data) and subject.task and subject.batch is not None:
        raise PlanError("--batch: a --task makes its own batches: leave it out")
    task = task_of(subject.net, subject.data, subject.data_dir, subject.task, metadata, **how)
    narrow(task.module, edits_of(metadata))
    say.note(*task.notes)
    return as_told(task, metadata)


def load_factory(factory: str) -> Task:
    """Return the task that ``package.module:factory`` makes; modules in the working folder are found too.

    Raises:
        DataError: when there is no such module or callable, it returns something else, or it fails: what it raised is
            named, with the line that raised it.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        with redirect_stdout(sys.stderr):  # standard output is for results
            make = _callable(factory)
            subject = make()
    except LaconicError:
        raise
    except Exception as error:
        raise DataError(f"--task {factory} failed: {type(error).__name__}: {error}{_line_of(error)}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(subject, Task):
        raise DataError(f"--task {factory} returned {type(subject).__name__}, not a laconic.Task")
    return subject


def _callable(factory: str) -> Callable[[], object]:
    """Return the function that ``package.module:factory`` names.

    Raises:
        DataError: when there is none, or it takes arguments.
    """
    module_name, _, name = factory.partition(":")
    wanted = f"--task {factory}: give package.module:factory, a callable without arguments"
    if not name or not all(map(str.isidentifier, module_name.split("."))):
        raise DataError(wanted)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise DataError(f"{wanted}; {error}") from error
        raise  # the module is there, and misses another one
    make: Callable[[], object] | None = getattr(module, name, None)
    if not callable(make):
        raise DataError(f"{wanted}; {module_name} has no function {name}")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise DataError(f"{wanted}; {name}: {error}") from error
    except ValueError:  # of a callable that tells no signature
        pass
    return make


def _line_of(error: BaseException) -> str:
    """Say which line of a user's own file has raised an error, or has called what did."""
    others = [Path(__file__).parents[1], *(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib"))]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_absolute() and not any(file.is_relative_to(folder) for folder in others):
            return f" ({file.name}, line {frame.lineno}, in {frame.name})"
    return ""


def counted(task: Task, tick: Callable[[float], None], split: str = "train") -> Task:
    """Return the same task, which tells ``tick`` how many batches of ``split`` have been taken so far."""
    taken = 0

    def watched(batches: Iterable[Batch]) -> Iterator[Batch]:
        nonlocal taken
        for batch in batches:
            yield batch
            taken += 1
            tick(taken)

    plain = task.split(split)
    ticking: dict[str, Any] = {split: Batches(lambda seed: watched(plain.epoch(seed)), plain.known)}
    return replace(task, **ticking)


def batches_per_epoch(task: Task, split: str = "train") -> int:
    """Return how many batches one pass over ``split`` has; see `Task.count`."""
    return task.count(split)


def known_again(task: Task, factory: str | None) -> dict[str, str]:
    """Return by what a run that goes on knows its task again: its name, and the first samples that it would see.

    Args:
        task: of which no test sample is looked at.
        factory: package.module:name of an own task.
    """
    return {"the task": factory or str(dict(task.metadata)), "its first samples' SHA-256": samples_digest(task)}


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


class Modular(Protocol):
    """What has a module: a task."""

    @property
    def module(self) -> nn.Module:
        """The network."""


def fitting(params: Params, task: Modular) -> Params:
    """Return the weights by the names of the task's module, from which prefixes of wrappers may differ.

    Raises:
        DataError: when names or shapes are not those of the module; tied tensors go by any of theirs.
        WeightsError: when names of one tensor come with different values.
    """
    params = named_as(params, first_names(task.module))
    own = {name: tuple(tensor.shape) for name, tensor in params_of(task.module).items()}
    given = {first: tuple(params[name].shape) for first, name in once(task.module, params).items()}
    differs = [f"{name} {given.get(name, 'missing')} instead of {own.get(name, 'nothing')}"
               for name in sorted(own.keys() | given.keys()) if own.get(name) != given.get(name)]  # fmt: skip
    if differs:
        raise DataError(f"the weights are not those of this network: {'; '.join(differs)}")
    return params


def doubts(params: Params, task: Task, metadata: Mapping[str, str]) -> list[str]:
    """Return a note where weights fit a network of the zoo by their names, but answer as if they were of another.

    Activation and preprocessing have no names in a checkpoint. Weights whose metadata say what they are have been
    checked; those that are wrong more than half as often as chance on some hundred samples are doubted.
    """
    if "net" in metadata or "net" not in task.metadata or "error" not in task.measures:
        return []
    try:
        batches = list(islice(task.batches("validation", 0), _DOUBTED))
    except DataError:
        return []
    few = replace(task, validation=Batches(lambda seed: batches))
    with mode(task.module, training=False), torch.no_grad():
        classes = task.outputs(beside(task.module, params), batches[0]).shape[1]
    error, chance = few.evaluate(params, "validation")["error"], 100 * (1 - 1 / classes)
    if error <= chance / 2:
        return []
    net, data_name = task.metadata["net"], task.metadata["data"]
    return [
        f"these weights give {error:.1f} % error on {data_name}, where chance gives {chance:.0f} %: "
        f"is {net} the right network (activation, preprocessing)?"
    ]
