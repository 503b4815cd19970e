"""The smallest file of a quality: a KL divergence on samples that are held out, or a drop of the task's error.

    min over files  bytes   subject to   KL(original ‖ compressed) ≤ bound,  or  drop + its standard error ≤ bound

A first size follows from theory: at a water level θ of the outputs each weight adds θ nats a sample. Then come files of
one quick pass each, by a secant on (log₂ size, log₂ of the figure over its bound), kept between the largest that fails
and the smallest that meets the bound; and files of the quality that is asked, from there on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.budgeted import Trial
from laconic.errors import DataError, PlanError
from laconic.models.params import Params, beside, first_names, once
from laconic.models.state_dicts import named_as
from laconic.training.batches import rows_of, size_of
from laconic.training.task import Task, mode

FILES = 6
"""That are made at most."""

QUICK = 4
"""Of these, in one pass each, before those of the quality that is asked."""

TRAINED_ON = "the network may have been trained on these"

_AIM = -0.04  # log₂ of the figure over its bound
_NEAR = -0.12  # from where on a figure is near enough to its bound
_FLOOR = -4.0  # a figure says no more than that it is far below the bound
_STRIDE = 1.5  # log₂ of the sizes of two files, at most


@final
@dataclass(frozen=True)
class Quality:
    """How good a file is by what was asked of it.

    Args:
        measure: "kl", in nats a row of logits, or "drop", in points of the task's error.
        bound: what it may be.
        value: what it is.
        standard_error: of a drop, from the paired differences of the samples; 0 for a KL.
        samples: that it was measured on.
        split: which these are.
        note: what is to be known of them.
        files: how many were made to find it.
    """

    measure: str
    bound: float
    value: float
    standard_error: float
    samples: int
    split: str
    note: str = ""
    files: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the figure and one standard error are within the bound."""
        return self.value + self.standard_error <= self.bound

    @property
    def excess(self) -> float:
        """log₂ of figure and standard error over the bound: at most 0 where it is met; −4 stands for all below."""
        reached = (self.value + self.standard_error) / self.bound
        return max(math.log2(reached), _FLOOR) if reached > 0 else _FLOOR

    def __str__(self) -> str:
        """Return the figure and what it was measured on."""
        on = f"on {self.samples:,} {self.split} samples" + (f" ({self.note})" if self.note else "")
        if self.measure == "kl":
            return f"KL(original ‖ compressed) {self.value:.4g} nats {on}"
        return f"the error grows by {self.value:.4g} ± {self.standard_error:.2g} points {on}"


def wrongs(task: Task, params: Params) -> Tensor:
    """Return the task's measure "error" of each validation sample by itself, float64, shape (samples,).

    Args:
        task: with a validation split.
        params: every parameter by its name.

    Raises:
        DataError: when there is no such split or measure, or there are no samples.
        WeightsError: as `Task.outputs`.
    """
    if task.validation is None:
        notes = "".join(f"; {note}" for note in task.notes)
        raise DataError(
            f"a drop is measured on validation samples with their targets, and the task has none{notes}: give a Task "
            "with validation=, or ask for a KL, such as kl=0.02, which needs none"
        )
    params = named_as(params, first_names(task.module))
    params = beside(task.module, {name: params[name] for name in once(task.module, params).values()})
    found = list[Tensor]()
    with torch.no_grad(), mode(task.module, training=False):
        for batch in task.batches("validation", 0):
            interrupts.check()
            outputs = task.outputs(params, batch)
            if "error" not in task.measures:
                raise DataError(
                    "a drop is one of the measure 'error', which the task does not have: give a Task with "
                    "measures={'error': ...}, or ask for a KL, such as kl=0.02"
                )
            judge = task.measures["error"]
            each = (
                judge(rows_of(outputs, row, row + 1), rows_of(batch, row, row + 1)) for row in range(size_of(batch))
            )
            found += [one.double().cpu() for one in each]
    if not found:
        raise DataError("the validation split has no samples: a drop has nothing to be measured on")
    return torch.stack(found)


def dropped(before: Tensor, after: Tensor, bound: float) -> Quality:
    """Return how much the error has grown: the mean of the paired differences, and its standard error.

    Of b samples that have become wrong and c that have become right, n in all, the differences of an error in percent
    have the mean 100 (b − c) / n and the standard error 100 √(b + c − (b − c)² / n) / n.

    Args:
        before: of the original, shape (samples,).
        after: of the compressed network.
        bound: what the drop may be.

    >>> dropped(torch.zeros(100), torch.tensor([100.0] * 4 + [0.0] * 96), 5).value
    4.0
    """
    apart = (after - before).double()
    error = float(apart.std(correction=0)) / math.sqrt(len(apart))
    return Quality("drop", bound, float(apart.mean()), error, len(apart), "validation", TRAINED_ON)


@final
@dataclass(frozen=True, eq=False)
class Made:
    """A file and how good it is.

    Args:
        size: bytes that were asked for.
        trial: the file, or None where there is none so small.
        quality: of it.
        passes: that it took.
    """

    size: int
    trial: Trial | None
    quality: Quality | None
    passes: int = 0

    @property
    def log_size(self) -> float:
        """log₂ of the bytes of the file."""
        return math.log2(self.trial.file_bytes if self.trial else self.size)

    @property
    def excess(self) -> float:
        """How far it is from the bound."""
        return self.quality.excess if self.quality else math.inf


def smallest(make: Callable[[int, bool], Made], first: int, weights: int) -> tuple[Trial, Quality, int]:
    """Return the smallest file found whose quality is met, that quality, and the passes of all files.

    Args:
        make: bytes, and whether one quick pass is enough → the file.
        first: bytes of the first.
        weights: how many there are: a KL falls about fourfold with each bit that they have more.

    Raises:
        PlanError: when none is met; it names the best figure that was reached.
    """
    made, size = list[Made](), float(first)
    for _ in range(QUICK):
        made.append(make(max(1, round(size)), True))
        size = next_size(made, weights)
        if _NEAR <= made[-1].excess <= 0 or any(round(size) == one.size for one in made):
            break
    better = list[Made]()  # of the quality that is asked: their figures are lower at a size
    while len(made) + len(better) < FILES and len(better) < FILES - QUICK:
        better.append(make(max(1, round(size)), False))
        if _NEAR <= better[-1].excess <= 0:
            break
        size = next_size(better, weights)
    every = [*made, *better]
    met = [(one.trial, one.quality) for one in every if one.trial and one.quality and one.quality.is_met]
    if not met:
        reached = [one.quality for one in every if one.quality]
        best = min(reached, key=lambda one: one.value + one.standard_error, default=None)
        raise PlanError(
            f"none of {len(every)} files is within the bound of {best.bound:g}; the best that was reached: {best}"
            if best
            else f"no file was made: {every[-1].size:,} bytes are too few"
        )
    trial, quality = min(met, key=lambda pair: pair[0].file_bytes)
    return trial, replace(quality, files=len(every)), sum(one.passes for one in every)


def next_size(made: Sequence[Made], weights: int) -> float:
    """Return the bytes of the next file.

    Args:
        made: so far, at least one.
        weights: how many there are.
    """
    near = sorted((one for one in made if one.trial), key=lambda one: abs(one.excess))
    if not near:
        return 2.0 * max(one.size for one in made)
    best = near[0]
    expected = -2.0 * math.log(2) * 8 * 2.0**best.log_size / max(1, weights)  # log₂ KL by log₂ size at high rate
    slope = expected
    if len(near) > 1 and near[1].log_size != best.log_size:
        found = (near[1].excess - best.excess) / (near[1].log_size - best.log_size)
        slope = found if 0.25 < found / expected < 4 else expected
    step = max(-_STRIDE, min((_AIM - best.excess) / slope, _STRIDE))
    high = min((one.log_size for one in made if one.excess <= 0), default=math.inf)
    low = max((one.log_size for one in made if one.excess > 0 and one.log_size < high), default=-math.inf)
    wanted = best.log_size + step
    if not low < wanted < high:
        wanted = (low + high) / 2 if math.isfinite(low + high) else wanted
    return float(2.0**wanted)
