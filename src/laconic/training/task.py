"""What a network is for: its module, its data, its loss. Weights come in by name; the module's own stay untouched."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic import interrupts
from laconic.errors import DataError, WeightsError
from laconic.models.data import Dataset
from laconic.models.params import Params, beside, caller, first_names, once, params_of, to_numpy, unwrapped
from laconic.models.state_dicts import named_as
from laconic.training.batches import (
    SPLITS,
    Batch,
    Batches,
    Source,
    arguments_of,
    held_out,
    moved,
    size_of,
    tensors_in,
)
from laconic.training.judges import (
    KINDS,
    Judge,
    Kind,
    cross_entropy,
    described,
    error,
    judge_of,
    kind_by,
    least_squares,
    names_classes,
    require_judged,
    same_batch,
)


@final
@dataclass(frozen=True, eq=False)
class Task:
    """A module with what it is trained and judged by.

    A split is a `DataLoader`, a list of batches or whatever else gives them anew each time, or a function without
    arguments that returns such a thing or a generator. A pass is a function of a seed: torch's, NumPy's and Python's
    global generators, and those that a loader brings, are seeded for it. A batch is

    * (inputs, targets): the module is called with the inputs, with several where they are a tuple or list, by name
      where they are a dict;
    * a dict: the module is called with all of it by name, but for "labels", "targets" and "target" where its
      ``forward`` does not take them; the first of these that is there are the targets;
    * a tensor: inputs and targets at once.

    Batches go where the module is, a GPU too. A task is tried when it is made: the module runs on the first batch, and
    the loss is taken.

    Args:
        module: the network. All of it is in training mode while it is trained, in evaluation mode while it is measured,
            and afterwards as it was. `DataParallel` and `torch.compile` around it are taken off.
        train: batches to train on; None for a task that only evaluates.
        loss: as torch has them, (outputs, targets) → mean loss of the batch, 0-d. A function whose second parameter
            is named ``batch`` is given the batch instead of its targets, as is kept here: (outputs, batch) → loss.
        validation: without it a tenth of ``train`` is held out, where that can be done; ``notes`` say so.
        test: batches of the test split.
        forward: (module, batch) → outputs, in place of calling the module; it must use the module that it is given.
        measures: by name, further functions like ``loss``. Where the kind is "classification", "error", the share of
            samples whose largest output is not the target in percent, is there without being named.
        metadata: network, data set and preprocessing; they travel in checkpoints and `.lac` files.
        kind: "classification" where outputs are logits (samples, classes, ...), "regression" where they are values
            of the targets' shape: what importance is measured by. Known for torch's usual losses.
        seed: of the choice of what is held out.
        notes: sentences on what was decided for the caller.
        still: names of parts that are in evaluation mode in training, too, such as batch normalizations whose
            statistics are constants (`laconic.models.absorption`).
        objective: what training minimises, given as a loss is; the loss unless given. What a network learns from
            beside its targets is there (`laconic.teachers`), while the loss goes on to judge.

    Raises:
        DataError: when a part is not what it should be, or the trial fails.

    >>> task = Task(nn.Linear(2, 3), [(torch.ones(4, 2), torch.tensor([0, 1, 2, 0]))], nn.CrossEntropyLoss())
    >>> task.kind, list(task.measures), task.count("train")
    ('classification', ['error'], 1)
    """

    module: nn.Module
    train: Source | None = None
    loss: Judge = None  # type: ignore[assignment]  # after ``train``, and missing it is an error
    _: KW_ONLY
    validation: Source | None = None
    test: Source | None = None
    forward: Callable[[Any, Batch], Any] | None = None
    measures: Mapping[str, Judge] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    kind: Kind | None = None
    seed: int = 0
    notes: tuple[str, ...] = ()
    still: tuple[str, ...] = ()
    objective: Judge | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise DataError(f"module is a torch.nn.Module, not a {type(self.module).__name__}")
        if self.forward is not None and not callable(self.forward):
            raise DataError(f"forward is a function (module, batch) → outputs, not a {type(self.forward).__name__}")
        if self.kind not in (None, *KINDS):
            raise DataError(f"kind is 'classification' or 'regression', not {self.kind!r}")
        own = [split for split in SPLITS if not isinstance(getattr(self, split), Batches | None)]
        checked = {split: Batches.of(getattr(self, split), split) for split in own}
        settled: dict[str, Any] = {
            **checked,
            "module": unwrapped(self.module),
            "loss": judge_of("loss", self.loss),
            "objective": self.objective and judge_of("objective", self.objective),
            "measures": {name: judge_of(name, judge) for name, judge in dict(self.measures).items()},
            "kind": self.kind or kind_by(self.loss),
        }
        if "train" in own and self.validation is None:
            train, validation, note = held_out(self.train, self.seed)
            settled |= {"train": Batches.of(train, "train"), "notes": (*self.notes, note)}
            settled |= {"validation": validation and Batches.of(validation, "validation")}
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        if own:
            self._try(own[0])

    @classmethod
    def of(
        cls,
        module: nn.Module,
        batches: Callable[[str, int], Any],
        loss: Judge,
        measures: Mapping[str, Judge] | None = None,
        metadata: Mapping[str, str] | None = None,
        kind: Kind | None = None,
    ) -> "Task":
        """Return the task whose batches are a function of split and seed; it is not tried.

        Args:
            module: the network.
            batches: (split, seed) → batches, split being "train", "validation" or "test": the same ones for the same
                seed.
            loss: as of a task, like all further arguments.
            measures: by name.
            metadata: of network and data.
            kind: of outputs.
        """
        splits: dict[str, Any] = {split: Batches(partial(batches, split)) for split in SPLITS}
        return cls(module, loss=loss, **splits, measures=measures or {}, metadata=metadata or {}, kind=kind)

    @property
    def minimised(self) -> Judge:
        """What training minimises: the objective, or else the loss."""
        return self.objective or self.loss

    def batches(self, split: str, seed: int) -> Iterator[Batch]:
        """Return one pass over the batches of a split, on the device of the module's first parameter.

        Args:
            split: "train", "validation" or "test".
            seed: of the order of the training batches.

        Raises:
            DataError: when the task does not have the split.
        """
        first = next(self.module.parameters(), None)
        device = None if first is None else first.device
        return (moved(batch, device) for batch in self.split(split).epoch(seed))

    def count(self, split: str) -> int:
        """Return how many batches a pass over a split has; where nothing tells, one is made to count them."""
        return self.split(split).count

    def split(self, name: str) -> Batches:
        """Return the batches of a split.

        Raises:
            DataError: when the task does not have it.
        """
        batches = getattr(self, name) if name in SPLITS else None
        if batches is None:
            there = [split for split in SPLITS if getattr(self, split) is not None]
            said = "; ".join((f"the task has no split {name!r}; it has {', '.join(there) or 'none'}", *self.notes))
            raise DataError(said)
        assert isinstance(batches, Batches), "made so when the task was"
        return batches

    def outputs(self, params: Params, batch: Batch) -> Any:
        """Return the outputs of the module with ``params`` for its own tensors.

        In training mode BatchNorm updates the running statistics in ``params``, in place. Buffers that ``params``
        lacks are read from copies of the module's.

        Args:
            params: every parameter by its name; tied ones under any of theirs, or under several.
            batch: inputs and targets.

        Raises:
            WeightsError: when a parameter is missing, a name is none of the module's, or names of one tensor come with
                different values.
        """
        return self.running(params)(batch)

    def running(self, params: Params) -> Callable[[Batch], Any]:
        """Return `outputs` as a function of the batch alone: for many batches names are looked up but once.

        Args:
            params: as there.

        Raises:
            WeightsError: as there.
        """
        kept, buffers = once(self.module, params), dict(self.module.named_buffers())
        _require_names(self.module, kept, buffers)
        own = {name: buffer.clone() for name, buffer in buffers.items() if name not in kept}
        own |= {first: params[name] for first, name in kept.items()}
        if self.forward is None:
            run = caller(self.module, own)
            return lambda batch: run(*arguments_of(self.module, batch))
        inner = {f"module.{name}": tensor for name, tensor in own.items()}
        run = caller(_Called(self.module, self.forward), inner)
        return lambda batch: run((batch,), {})

    def evaluate(self, params: Params, split: str) -> dict[str, float]:
        """Return the loss and the measures of ``params`` on a split, as means over its samples.

        The module is in evaluation mode meanwhile; weights are moved to its device. On "train" the batches are those of
        seed 0, augmented if training is.

        Raises:
            DataError: when the split has no batches.
            WeightsError: as `outputs`.
        """
        params = named_as(params, first_names(self.module))
        params = beside(self.module, {name: params[name] for name in once(self.module, params).values()})
        judges = {"loss": self.loss, **self.measures}
        totals, count = dict.fromkeys(judges, 0.0), 0
        with torch.no_grad(), mode(self.module, training=False):
            for batch in self.batches(split, 0):
                interrupts.check()
                outputs, size = self.outputs(params, batch), size_of(batch)
                for name, judge in judges.items():
                    totals[name] += size * float(judge(outputs, batch))
                count += size
        if not count:
            raise DataError(f"split {split!r} has no samples to evaluate")
        return {name: total / count for name, total in totals.items()}

    def _try(self, split: str) -> None:
        """Run the module on the first batch of ``split``, take the loss, and see which measures there are.

        Raises:
            DataError: says what does not fit what.
        """
        first, again = (next(self.batches(split, 0), None) for _ in range(2))
        if first is None:
            raise DataError(f"{split} has no batches")
        counts = {name: buffer.clone() for name, buffer in self.module.named_buffers()}  # what a module counts in
        with torch.no_grad(), mode(self.module, training=False):
            try:
                outputs = self.outputs({**params_of(self.module), **counts}, first)
            except Exception as failure:
                how = "forward" if self.forward else "the module"
                raise DataError(
                    f"{how} fails on the first batch of {split}, {described(first)}: {failure}"
                ) from failure
            for judge in filter(None, (self.loss, self.objective)):
                require_judged(judge, outputs, first, self.kind)
        if self.kind == "classification" and "error" not in self.measures and names_classes(outputs, first):
            object.__setattr__(self, "measures", {**self.measures, "error": error})
        if not same_batch(first, again):
            note = f"the order of {split} is no function of the seed: two runs of one seed will differ"
            object.__setattr__(self, "notes", (*self.notes, note))


@final
class _Called(nn.Module):
    """A network that is called by a function of its own: within, it has the weights that this module is given."""

    def __init__(self, module: nn.Module, function: Callable[[Any, Batch], Any]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, batch: Batch) -> Any:
        """Return the outputs."""
        return self.function(self.module, batch)


def _require_names(module: nn.Module, kept: Mapping[str, str], buffers: Mapping[str, Tensor]) -> None:
    """Raise `WeightsError` unless ``kept``, by first names, is every parameter, and nothing that the module lacks."""
    own = dict(module.named_parameters())
    strange = kept.keys() - own.keys() - buffers.keys()
    if strange:
        raise WeightsError(f"the module has no {', '.join(sorted(strange))}; weights go by their state_dict names")
    missing = [name for name in own if name not in kept]
    if missing:
        raise WeightsError(
            f"the weights lack {', '.join(missing)}; laconic.models.params.params_of(module) gives them all"
        )


@contextmanager
def mode(module: nn.Module, *, training: bool, still: Iterable[str] = ()) -> Iterator[None]:
    """Hold every part of ``module`` in training or evaluation mode, then give each its own mode back.

    Args:
        module: whose parts they are.
        training: in which mode.
        still: names of parts that are in evaluation mode in any case.
    """
    modes = {part: part.training for part in module.modules()}
    module.train(training)
    for name in still:
        module.get_submodule(name).eval()
    try:
        yield
    finally:
        for part, before in modes.items():
            part.training = before


def samples_digest(task: Task) -> str:
    """Return a SHA-256 of the first training and validation batch, by which a run that goes on knows its data again.

    No test sample is looked at. Batches of seed 0 are taken.
    """
    digest = sha256()
    for split in ("train", "validation"):
        first = () if getattr(task, split) is None else next(iter(task.batches(split, 0)), ())
        for tensor in tensors_in(first):
            digest.update(f"{split} {tensor.dtype} {tuple(tensor.shape)}".encode() + to_numpy(tensor).tobytes())
    return digest.hexdigest()


def classification(
    module: nn.Module,
    data: Dataset | Mapping[str, Source] | Source,
    metadata: Mapping[str, str] | None = None,
    *,
    batch: int = 128,
    evaluation_batch: int = 250,
) -> Task:
    """Return the task of naming the class of each input: cross-entropy, and top-1 "error" in percent.

    Args:
        module: inputs → logits (batch, classes).
        data: with labels for targets; or loaders and lists of batches by split, as ``{"train": ..., "test": ...}``, or
            those of "train" alone.
        metadata: see `laconic.models.nets.identity`.
        batch: samples of a data set per training batch.
        evaluation_batch: samples per batch of its other splits.

    Raises:
        DataError: as `Task`, and for a split that there is not.
    """
    splits = _splits(data, batch, evaluation_batch)
    return Task(module, loss=cross_entropy, **splits, measures={"error": error}, metadata=dict(metadata or {}))


def regression(
    module: nn.Module,
    data: Dataset | Mapping[str, Source] | Source,
    metadata: Mapping[str, str] | None = None,
    *,
    batch: int = 128,
    evaluation_batch: int = 250,
) -> Task:
    """Return the task of predicting targets of the outputs' shape by least squares; arguments as `classification`."""
    splits = _splits(data, batch, evaluation_batch)
    return Task(module, loss=least_squares, **splits, metadata=dict(metadata or {}))


def _splits(data: Dataset | Mapping[str, Source] | Source, size: int, evaluation_size: int) -> dict[str, Any]:
    """Return the batches of every split of ``data``."""
    if not isinstance(data, Dataset):
        splits = dict(data) if isinstance(data, Mapping) else {"train": data}
        if strange := [str(split) for split in splits if split not in SPLITS]:
            raise DataError(f"{', '.join(strange)}: splits are {', '.join(SPLITS)}, each a loader or a list of batches")
        return splits
    sizes = dict.fromkeys(SPLITS, evaluation_size) | {"train": size}
    return {
        split: Batches(partial(data.batches, split, size=sizes[split]), -(-len(inputs) // max(1, sizes[split])))
        for split, (inputs, _) in data.splits.items()
    }
