"""Teachers from options: files and networks, the task in which they teach, and what a resumed run must find again."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from laconic.cli.console import Output
from laconic.cli.jobs.tasks import batches_per_epoch, counted, doubts, fitting, load_factory, task_of, weights_of
from laconic.cli.options import Data
from laconic.cli.teaching import Teaching
from laconic.deploy.edits import edits_of
from laconic.deploy.narrowing import narrow
from laconic.errors import DataError, FormatError, PlanError
from laconic.models import nets
from laconic.models.checkpoints import Checkpoint
from laconic.models.params import Params, params_of
from laconic.teachers.distillation import distilled
from laconic.teachers.softening import Distillation
from laconic.teachers.teacher import Teacher, digest_of
from laconic.training.binary_activations import as_told
from laconic.training.task import Task

SELF = "self"


def taught(
    say: Output, how: Teaching, task: Task, data: Data, original: Params | None, planned: Distillation | None = None
) -> tuple[Task, dict[str, str]]:
    """Return the task with its teachers, and what must be the same when a run goes on.

    Args:
        say: told who teaches, and of the progress of a cache.
        how: the options.
        task: what is trained.
        data: its options.
        original: the network that is compressed, which self names; None where there is none.
        planned: what a plan says of learning from the original, in place of the options.

    Raises:
        PlanError: for options of teaching and nothing that teaches, and for both options and a plan that teach.
        DataError: when a file is no network that could teach this one.
    """
    if how.idle:
        raise PlanError(f"{', '.join(how.idle)}: only --distill takes this; name a teacher, as --distill self or FILE")
    if how and planned:
        raise PlanError("the plan has a distillation, and --distill names a teacher, too: say it once")
    if planned:
        how = replace(how, distill=[SELF])
    if not how:
        return task, {}
    loss = planned or Distillation(how.distill_alpha, how.distill_beta, how.distill_temperature)
    teachers = _teachers(say, how, task, data, original)
    found = _remembering(say, task, teachers, loss, how.distill_cache) if how.distill_cache else None
    found = found or distilled(task, teachers, loss)
    say.note(
        f"learning from {', '.join(one.name for one in teachers)}: α {loss.alpha:g}, β {loss.beta:g}, "
        f"τ {loss.temperature:g}",
        *found.notes[len(task.notes) :],
    )
    options = {"alpha": loss.alpha, "beta": loss.beta, "temperature": loss.temperature}
    labels = {f"--distill-{name}": str(value) for name, value in options.items()}
    labels |= {
        "--distill-cache": str(how.distill_cache is not None),
        "the teacher's SHA-256": digest_label(say, teachers),
    }
    return replace(task, objective=found.objective, notes=found.notes), labels


def digest_label(say: Output, teachers: Sequence[Teacher]) -> str:
    """Return by what a resumed run knows teachers again; where there is nothing it says so."""
    try:
        return digest_of(teachers)
    except DataError as error:
        say.note(f"a resumed run cannot tell whether its teacher is the same: {error}")
        return "none"


def _remembering(say: Output, task: Task, teachers: list[Teacher], loss: Distillation, cache: Path) -> Task:
    """Return the task that is distilled with a cache, with a progress bar while that is made."""
    with say.progress("what the teacher says", max(1, (len(teachers) + 1) * batches_per_epoch(task))) as tick:
        return distilled(counted(task, tick), teachers, loss, cache=cache)


def _teachers(say: Output, how: Teaching, task: Task, data: Data, original: Params | None) -> list[Teacher]:
    """Return the teachers that options name."""
    own = load_factory(how.distill_task) if how.distill_task else None
    if own is not None and how.distill_net:
        raise PlanError("--distill-task brings its own network: leave out --distill-net")
    if own is not None and not how.distill:
        return [Teacher(own.module, params_of(own.module), own.forward, f"--distill-task {how.distill_task}")]
    named = how.distill or []
    if SELF in named and original is None:
        raise DataError("--distill self is for a network that is compressed; here it is new: name a FILE")
    return [
        Teacher(task.module, original, task.forward, "the original")
        if one == SELF
        else teacher_in(say, Path(one), how.distill_net, own, task, data)
        for one in named
    ]


def teacher_in(say: Output, path: Path, net: str | None, own: Task | None, task: Task, data: Data) -> Teacher:
    """Return the teacher in a file: of the network of --distill-task, or that it names, or else of the task's own.

    Raises:
        DataError: when the weights are of another network, or read other inputs than the one that is taught.
    """
    read = weights_of(say, path)
    name, net = f"the teacher {path}", net or read.metadata.get("net")
    if own is None and net is not None:
        _require_same_inputs(path, net, task)
    try:
        of = own or _network(read, net, task, data)
        of = replace(of, module=narrow(copy.deepcopy(of.module), edits_of(read.metadata)))
        weights, of = fitting(dict(read.params), of), as_told(of, read.metadata)
    except (DataError, FormatError) as error:
        way = "" if net or own else "; name its network: --distill-net or --distill-task"
        raise DataError(f"{name}: {error}{way}") from error
    say.note(*doubts(weights, of, read.metadata))
    return Teacher(of.module, weights, of.forward, name)


def _network(read: Checkpoint, net: str | None, task: Task, data: Data) -> Task:
    """Return the task whose network a file of weights is of: one of the zoo, or what is trained, or that made anew.

    What is trained may be a network that was shrunk, from which the whole one cannot be had.
    """
    if net is None and not edits_of(read.metadata):
        with suppress(DataError):
            fitting(dict(read.params), task)
            return task
    if net is None and data.task:
        return load_factory(data.task)
    net, data_name = net or task.metadata.get("net"), task.metadata.get("data")
    if net is None or data_name is None:
        return task
    return task_of(net, data_name, data.data_dir, None, {**read.metadata, "net": net, "data": data_name})


def _require_same_inputs(path: Path, net: str, task: Task) -> None:
    """Check that a reference network reads the inputs of a task.

    Raises:
        DataError: when it does not.
    """
    data_name = task.metadata.get("data")
    if data_name is None:
        raise DataError(
            f"{path} is of network {net!r}, which is made for a data set by name, and the task has none: give its "
            "network by --distill-task"
        )
    reads, given = nets.preprocessing_of(net, data_name), task.metadata.get("preprocessing")
    if reads != given:
        raise DataError(
            f"{path} is of network {net!r}, which reads inputs {reads!r}; those of the network that is taught are "
            f"{given!r}. A teacher reads the same inputs: train one of them so, or give a --distill-task that converts"
        )
