"""Rows of a choice among all techniques, tensor by tensor: of the weights alone, and by inputs and then LC."""

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from torch import Tensor

from laconic.api import compress
from laconic.choose.menu import Menu
from laconic.errors import LaconicError
from laconic.experiments.recipes.equal_sizes.measurements import Measurement, Method, judged, row_of
from laconic.experiments.recipes.equal_sizes.settings import CHOSEN
from laconic.experiments.recipes.equal_sizes.strength import Found
from laconic.experiments.recipes.equal_sizes.subject import Subject


def chosen_rows(subject: Subject, *, trained: bool) -> list[Measurement]:
    """Return the rows of all sizes: "direct", chosen by the error of the weights, and "LC", chosen by inputs before it.

    Args:
        subject: the network.
        trained: whether there are rows of LC.
    """
    methods: tuple[Method, ...] = ("direct", "LC") if trained else ("direct",)
    wanted = [(method, target) for method in methods for target in subject.effort.targets]
    rows = list[Measurement]()
    for number, (method, target) in enumerate(wanted):
        subject.context.say(number / len(wanted), f"{CHOSEN.label}, {target:,} B, {method}")
        key = f"{CHOSEN.label}/{target}/{method}"
        rows.append(row_of(CHOSEN, target, method, *subject.context.cache.point(key, _of(subject, target, method))))
    return rows


def _of(subject: Subject, target: int, method: Method) -> Any:
    """Return what computes a row."""
    learning = replace(subject.effort.learning, batches=1)  # as many epochs as every other row has
    training: Mapping[str, Any] = {} if method == "direct" else {
        "task": subject.task, "effort": "train", "training": learning, "seed": subject.context.seed,
    }  # fmt: skip

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        began = perf_counter()
        try:
            result = compress(subject.params, size=target, choose=Menu(), metadata=subject.task.metadata, **training)
        except LaconicError as error:
            return {"reason": str(error)}, {}
        found = Found(0.0, target, result.file_bytes, 0.0)
        figures, errors = judged(subject, CHOSEN, found, target, result.params, perf_counter() - began)
        assert result.choice is not None, "that is what was asked"
        return {**figures, "row": result.choice.best.label}, errors

    return compute
