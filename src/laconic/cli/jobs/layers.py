"""Hints and attention from options: the teacher in a file, the stage before training, and what training minimises."""

from pathlib import Path

from laconic.cli.console import Output
from laconic.cli.jobs.tasks import load_factory
from laconic.cli.jobs.teaching import digest_label, teacher_in
from laconic.cli.layers import Layers, pairs
from laconic.cli.options import Data
from laconic.errors import DataError, PlanError
from laconic.teachers.attention import attentive
from laconic.teachers.hints import hinted
from laconic.teachers.neurons import best_neurons
from laconic.teachers.teacher import Teacher
from laconic.training.task import Task


def attending(say: Output, how: Layers, task: Task, data: Data) -> tuple[Task, dict[str, str]]:
    """Return the task with attention, and what must be the same when a run goes on.

    Raises:
        PlanError: for options without what they go with.
        DataError: when a file is no network that could teach this one, or layers do not go together.
    """
    for option, needed in how.idle.items():
        raise PlanError(f"{option}: goes with {needed}, which names the teacher's file")
    if how.attention is None:
        return task, {}
    if not how.attention_layers:
        raise DataError("--attention needs --attention-layers: pairs of layers, as layer1:layer1,layer2:layer2")
    teacher, layers = _teacher(say, how, how.attention, task, data), pairs(how.attention_layers)
    found = attentive(task, teacher, layers, how.attention_weight)
    labels = {"--attention": digest_label(say, [teacher]), "--attention-layers": str(layers)}
    return found, {**labels, "--attention-weight": str(how.attention_weight)}


def hint_stage(say: Output, how: Layers, task: Task, data: Data, seed: int) -> tuple[Task | None, dict[str, str]]:
    """Return the task of the stage before training, if there is one, and what must be the same when a run goes on.

    Raises:
        DataError: as `attending`.
    """
    if how.hint is None:
        return None, {}
    layers = pairs(how.hint_layers) if how.hint_layers else []
    if len(layers) != 1:
        raise DataError("--hint needs --hint-layers: one layer of the teacher and one of the student, as fc1:fc1")
    ((hint, guided),) = layers
    teacher, units = _teacher(say, how, how.hint, task, data), None
    if how.hint_neurons is not None:
        units = best_neurons(teacher, hint, task, how.hint_neurons)
        say.note(f"of {hint} of the teacher the neurons {', '.join(map(str, units))} are learned")
    stage = hinted(task, teacher, hint, guided, units, seed)
    options = {"--hint-layers": f"{hint}:{guided}", "--hint-neurons": how.hint_neurons,
               "--hint-epochs": how.hint_epochs, "--hint-lr": how.hint_lr}  # fmt: skip
    return stage, {"--hint": digest_label(say, [teacher]), **{option: str(value) for option, value in options.items()}}


def _teacher(say: Output, how: Layers, path: Path, task: Task, data: Data) -> Teacher:
    """Return the network in a file."""
    own = load_factory(how.teacher_task) if how.teacher_task else None
    if own is not None and how.teacher_net:
        raise PlanError("--teacher-task brings its own network: leave out --teacher-net")
    return teacher_in(say, path, how.teacher_net, own, task, data)
