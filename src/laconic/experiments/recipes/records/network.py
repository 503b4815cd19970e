"""A network of the records before compression: its task, and its weights, trained once for a seed or published."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.subject import Effort, Subject
from laconic.experiments.recipes.reference import shortened, trained
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.training.task import Task, classification


def prepared(
    subject: Subject, name: str, effort: Effort, seed: int, key: str, context: Context
) -> tuple[Task, Mapping[str, Tensor]]:
    """Return what is trained and judged, and the weights of the reference, on a GPU where there is one.

    Args:
        subject: the network.
        name: of the data set.
        effort: says how the reference is trained, and which training images there are.
        seed: of its first weights.
        key: of the reference in the cache.
        context: of this share of the work.

    Raises:
        DataError: when the reference is a published one that is missing.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    preprocessing = nets.preprocessing_of(subject.net, name)
    ready = data.load(name, context.data_dir, preprocessing, validation=effort.validation, augment=effort.augment)
    ready = ready.to(device)
    module = nets.build(subject.net, ready.shape, ready.classes, seed).to(device)
    task = _task(module, ready, effort, nets.identity(subject.net, name, ready.preprocessing))
    if effort.reference is None:
        return task, {key: tensor.to(device) for key, tensor in _published(subject, context).items()}
    teaching = Task(
        module, task.train, task.loss, validation=task.validation, forward=subject.forward, measures=task.measures
    )
    return task, trained(context, key, teaching, effort.reference)


def for_rows(
    subject: Subject, name: str, before: Effort, rows: Effort, seed: int, key: str, context: Context
) -> tuple[Task, Mapping[str, Tensor]]:
    """Return what the rows of a table are trained on, and the reference that all of them begin with.

    Args:
        subject: the network.
        name: of the data set.
        before: says how the reference is trained.
        rows: says which training images the rows have, in which batches.
        seed: of its first weights, and of its training.
        key: of the reference in the cache.
        context: of this share of the work.
    """
    own = replace(context, seed=seed)
    _, params = prepared(subject, name, before, seed, key, own)
    return prepared(subject, name, rows, seed, key, own)[0], params


def _task(module: nn.Module, ready: Dataset, effort: Effort, notes: Mapping[str, str]) -> Task:
    """Return the task; of the training images an epoch has as many as the effort says, drawn anew from all of them."""
    task = classification(module, ready, notes, batch=effort.batch)
    return task if effort.images is None else shortened(task, effort.images, effort.batch)


def _published(subject: Subject, context: Context) -> Mapping[str, Tensor]:
    """Return the weights of the published reference."""
    assert context.data_dir is not None, "the data have been read from it"
    path = context.data_dir / subject.weights
    if not path.is_file():
        raise DataError(f"{subject.title} starts from the published network {path}, which is missing: add it")
    return load_checkpoint(path)[0]
