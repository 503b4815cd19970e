"""Which tensor is compressed how: unordered rows from patterns to compressions.

`laconic.plans.toml` reads and writes the same thing as text.
"""

from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import final

from torch import nn

from laconic.csteps.compression import Compression
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.lossless import is_mask
from laconic.models.params import Params, is_float, to_numpy, typed_as
from laconic.models.ties import Untied
from laconic.plans.patterns import all_names, by_name, fnmatch_escape, globs_of, matching, names_classes, pattern_of
from laconic.teachers.distillation import distilled
from laconic.teachers.softening import Distillation
from laconic.teachers.teacher import Teacher
from laconic.theory.importance import Importance, Watch
from laconic.theory.metric import Metrics
from laconic.training.task import Task


@final
@dataclass(frozen=True)
class Row:
    """One row of a plan, resolved: the tensors that a compression takes.

    Args:
        names: tensors, in the order of the network.
        compression: acts on each of them, or on all together where it is `Joint`.
    """

    names: tuple[str, ...]
    compression: Compression


@final
@dataclass(frozen=True)
class Plan:
    """Rows `pattern → Compression`; each tensor is on exactly one row, or on the row ``rest``.

    Args:
        tensors: patterns with the wildcards ``*``, ``?`` and ``[...]``, several separated by commas. A class of
            modules, such as `torch.nn.Conv2d`, stands for the weights of all modules of that class
            (`laconic.plans.patterns.weights_by_class`); it is kept as the pattern ``class:Conv2d``.
        rest: takes every tensor that no pattern names.
        importance: what the errors of weights are weighed by, measured on a task, or its name; alike where there is
            none.
        distillation: how much the network learns from what its original says while it is trained (``effort="train"``).

    Raises:
        PlanError: for a row that is no pattern and compression, what is no importance, and what is no distillation.
    """

    tensors: Mapping[str, Compression]  # or by class, until `__post_init__` has made patterns of classes
    rest: Compression = field(default=Lossless())
    importance: Importance | None = field(default=None)  # or its name, until `__post_init__`
    distillation: Distillation | None = field(default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.tensors, Mapping):
            raise PlanError(f"a plan has rows {{pattern: compression}}, not {self.tensors!r}")
        for where, compression in (*self.tensors.items(), ("rest", self.rest)):
            if not isinstance(compression, Compression):
                raise PlanError(f"{where}: a row gives a compression such as AdaptiveCodebook(4), not {compression!r}")
        rows = [(pattern_of(key), compression) for key, compression in self.tensors.items()]
        object.__setattr__(self, "tensors", _each_once(rows))
        if isinstance(self.importance, str):
            object.__setattr__(self, "importance", Importance(self.importance))
        if not isinstance(self.importance, Importance | None):
            raise PlanError(f"importance is a name such as 'gradient', or an Importance, not {self.importance!r}")
        if not isinstance(self.distillation, Distillation | None):
            raise PlanError(f"distillation is a laconic.Distillation, not {self.distillation!r}")

    def on(self, module: nn.Module | None) -> "Plan":
        """Return the plan with the names of the weights in place of the classes of modules that it names.

        Raises:
            PlanError: when it names classes, and there is no module, or none with weights of such a class.
        """
        classes = [pattern for pattern in self.tensors if names_classes(pattern)]
        if classes and module is None:
            raise PlanError(f"{', '.join(classes)}: classes are those of a module; give it, not its weights alone")
        if module is None or not classes:
            return self
        return replace(self, tensors=_each_once([(by_name(key, module), row) for key, row in self.tensors.items()]))

    def resolve(self, params: Params, names: Mapping[str, str] | None = None) -> tuple[Row, ...]:
        """Return the rows with the names of their tensors.

        Args:
            params: the tensors.
            names: every name of theirs with the one in ``params``, where they have several: a pattern names a tensor
                by any of them.

        Raises:
            PlanError: lists every pattern that matches nothing, and every tensor on two rows; or for a plan that
                names classes of modules, which `on` makes names of.
        """
        self.on(None)
        known = names or {name: name for name in params}
        matches = {pattern: matching(pattern, known) for pattern in self.tensors}
        rows_of = {name: [pattern for pattern, names in matches.items() if name in names] for name in params}
        strays = tuple(name for name, patterns in rows_of.items() if not patterns)
        globs = [glob for pattern in self.tensors for glob in globs_of(pattern)]
        problems = [f"pattern {glob!r} matches no tensor" for glob in globs if not matching(glob, known)]
        problems += [
            f"{all_names(name, known)} is on the rows {rows}" for name, rows in rows_of.items() if len(rows) > 1
        ]
        if problems:
            raise PlanError(f"the plan does not fit: {'; '.join(problems)}. The tensors are {', '.join(known)}")
        rows = [Row(names, self.tensors[pattern]) for pattern, names in matches.items()]
        if strays:
            rows.append(Row(strays, self.rest))
        return tuple(rows)

    def rows(
        self, network: Untied, metrics: Metrics | None = None, *, alike: bool, marks: Mapping[str, bytes] | None = None
    ) -> tuple[tuple[Row, ...], Untied]:
        """Return what `resolve` does, for a network that has each tensor once, and that network.

        Args:
            network: its names may be tied; a row takes a tensor by any of them.
            metrics: by name. A tensor with one stays by itself: what it is weighed by is its own.
            alike: whether tensors of equal bytes on one row are one, too: what is stored, not what is trained.
            marks: of tensors, where they are known, to find these by (`laconic.format.ties.alike`).

        Raises:
            PlanError: as `resolve`.
        """
        rows = self.resolve(network.params, network.names)
        if alike:
            place: dict[str, Hashable] = {}
            for number, row in enumerate(rows):
                place |= {name: name if _by_name(row.compression) else number for name in row.names}
            place |= {name: name for name in metrics or {}}
            network = network.alike(lambda name: place[name], marks)
        kept = (tuple(name for name in row.names if name in network.params) for row in rows)
        return tuple(Row(names, row.compression) for names, row in zip(kept, rows, strict=True)), network

    def settled(self, network: Untied, metrics: Metrics | None = None, *, alike: bool) -> tuple["Plan", Untied]:
        """Return the plan with every tensor named by itself; arguments and errors are those of `rows`."""
        rows, network = self.rows(network, metrics, alike=alike)
        settled = {", ".join(map(fnmatch_escape, row.names)): row.compression for row in rows}
        return replace(self, tensors=settled, rest=Lossless()), network

    def keeping(self, patterns: Sequence[str]) -> "Plan":
        """Return the plan with a row more: what the patterns name stays lossless.

        >>> Plan({"fc*": Lossless()}).keeping(["*mask", "head.*"]).tensors["*mask, head.*"]
        Lossless()

        Raises:
            PlanError: when a row has that very pattern already.
        """
        kept = ", ".join(patterns)
        if kept in self.tensors:
            raise PlanError(f"{kept!r} is on a row of the plan and among what stays lossless; say it once")
        return replace(self, tensors={**self.tensors, kept: Lossless()}) if patterns else self

    def kept(self, network: Untied) -> list[str]:
        """Return the names of the tensors that a pattern leaves lossless; errors are those of `resolve`."""
        rows = self.resolve(network.params, network.names)[: len(self.tensors)]
        return [name for row in rows if isinstance(row.compression, Lossless) for name in row.names]

    def metrics(self, task: Task | None, params: Params, watch: Watch | None = None) -> Metrics | None:
        """Return the metrics that the importance gives, or None where there is none.

        Args:
            task: what it is measured on.
            params: the weights.
            watch: told of the samples that are done, and of all.

        Raises:
            PlanError: when there is no task.
        """
        if self.importance is None:
            return None
        if task is None:
            raise PlanError(f"importance {self.importance.name!r} needs a task: what matters is measured on its data")
        return self.importance.metrics(task, params, watch)

    def taught(self, task: Task, original: Params) -> Task:
        """Return the task with what the original says beside the targets, where the plan has a distillation.

        Args:
            task: what the network is trained on.
            original: its weights before, which teach.

        Raises:
            DataError: as `laconic.teachers.distillation.distilled`.
        """
        if self.distillation is None:
            return task
        teacher = Teacher(task.module, typed_as(task.module, original), task.forward, "the original")
        return distilled(task, teacher, self.distillation)

    @contextmanager
    def advising(self) -> Iterator[None]:
        """Let a compression that refuses the metric of the plan's importance say what to do about it."""
        try:
            yield
        except UnsupportedMetric as error:
            if self.importance is None:
                raise
            raise UnsupportedMetric(
                f"{error}. That is the metric of importance {self.importance.name!r}: "
                "give this tensor another compression, or the plan another importance or none"
            ) from error


def weights_only(compression: Compression, params: Params, buffers: Container[str] = ()) -> Plan:
    """Return the plan that compresses every floating-point tensor with two or more axes and leaves the rest lossless.

    Biases and the parameters of normalisation layers are few and sensitive: no source compresses them. A mask, which
    holds 0 and −inf alone, is no weight, nor is a buffer of a module: ``buffers`` are their names.

    Raises:
        PlanError: when there is no such tensor.
    """
    floats = [name for name, tensor in params.items() if tensor.ndim >= 2 and is_float(tensor) and name not in buffers]
    names = [name for name in floats if not is_mask(to_numpy(params[name]))]
    if not names:
        raise PlanError("no floating-point tensor with two or more axes; name the tensors in a plan")
    return Plan({", ".join(fnmatch_escape(name) for name in names): compression}, rest=Lossless())


def _each_once(rows: Sequence[tuple[str, Compression]]) -> dict[str, Compression]:
    """Return the rows by pattern.

    Raises:
        PlanError: when two have the same one.
    """
    twice = sorted({pattern for pattern, _ in rows if sum(pattern == other for other, _ in rows) > 1})
    if twice:
        raise PlanError(f"{', '.join(twice)}: two rows are for the same tensors")
    return dict(rows)


def _by_name(part: object) -> bool:
    """Say whether a compression may treat tensors by their names: it holds a mapping, or is none of this library's."""
    if isinstance(part, tuple):
        return any(map(_by_name, part))
    if is_dataclass(part) and type(part).__module__.startswith("laconic."):
        return any(_by_name(getattr(part, f.name)) for f in fields(part))
    return not isinstance(part, int | float | str | bool | None)
