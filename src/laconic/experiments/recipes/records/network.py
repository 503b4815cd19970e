"""A network of the records as it is before compression: its task, and its weights, trained once for a seed."""

from collections.abc import Mapping

from torch import Tensor

from laconic.experiments.recipes.recipe import Context
from laconic.experiments.recipes.records.subject import Subject
from laconic.experiments.recipes.reference import trained
from laconic.models import data, nets
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification


def prepared(
    subject: Subject, name: str, how: Optimization, seed: int, key: str, context: Context
) -> tuple[Task, Mapping[str, Tensor]]:
    """Return what is trained and judged, and the weights of the reference.

    Args:
        subject: the network.
        name: of the data set.
        how: the reference is trained.
        seed: of its first weights.
        key: of the reference in the cache.
        context: of this share of the work.
    """
    ready = data.load(name, context.data_dir, nets.preprocessing_of(subject.net, name))
    module = nets.build(subject.net, ready.shape, ready.classes, seed)
    task = classification(module, ready, nets.identity(subject.net, name, ready.preprocessing))
    teaching = Task(
        module, task.train, task.loss, validation=task.validation, forward=subject.forward, measures=task.measures
    )
    return task, trained(context, key, teaching, how)
