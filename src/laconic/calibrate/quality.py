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
from laconic.calibrate.trial import Trial
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

_LARGER, _UP = 4, 1.06  # files beyond these while none is within the bound, and how much larger each is

_AIM = -0.04  # log₂ of the figure over its bound
_NEAR = -0.12  # from where on a figure is near enough to its bound
_FLOOR = -4.0  # a figure says no more than that it is far below the bound
_APART = 0.02  # log₂ of the sizes of two files that say how figures fall
_STRIDE = 1.0  # log₂ of the sizes of two files, at most


@final
@dataclass(frozen=True)
class Quality:
    """How good a file is by what was asked of it.

    The file was chosen by these very samples, of ``files``: on others it is worse, if by little.

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
        if math.isnan(reached):
            return -_FLOOR
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
    """A file and how good it is."""

    trial: Trial
    quality: Quality

    @property
    def log_size(self) -> float:
        """log₂ of the bytes of the file."""
        return math.log2(self.trial.file_bytes)

    @property
    def excess(self) -> float:
        """How far it is from the bound: see `Quality.excess`."""
        return self.quality.excess


def smallest(
    make: Callable[[int, bool], list[Made]], first: int, slope: float, most: int, *, refined: bool
) -> tuple[Trial, Quality, int]:
    """Return the smallest file found whose quality is met, that quality, and the passes that were made.

    Args:
        make: bytes, and whether one quick pass is enough → files of about so many, one a pass.
        first: bytes of the first.
        slope: about how log₂ of the figure falls with log₂ of the size, below 0.
        most: bytes that are asked for.
        refined: whether one quick pass is not all that is asked.

    Raises:
        PlanError: when none is met; it names the best figure that was reached.
    """
    made = _searched(make, first, slope, most, files=QUICK if refined else FILES, quick=True, last=not refined)
    if refined:
        slope = _slope(made, slope)
        made += _searched(make, next_size(made, slope), slope, most, files=FILES - QUICK, quick=False, last=True)
    met = [one for one in made if one.quality.is_met]
    if not met:
        best = min((one.quality for one in made), key=lambda one: one.value + one.standard_error)
        raise PlanError(f"none of {len(made)} files is within the bound of {best.bound:g}; the nearest: {best}")
    least = min(met, key=lambda one: one.trial.file_bytes)
    return least.trial, replace(least.quality, files=len(made)), len(made)


def _searched(
    make: Callable[[int, bool], list[Made]],
    first: float,
    slope: float,
    most: int,
    *,
    files: int,
    quick: bool,
    last: bool,
) -> list[Made]:
    """Return files around the bound, the first of about so many bytes, until one is just within.

    Figures do not fall with every byte: where none of ``files`` is within, some larger ones are the ``last``.
    """
    made, had, size = list[Made](), dict[int, int](), min(round(first), most)
    for number in range(files + (_LARGER if last else 0)):
        made += make(size, quick)
        had[size] = made[-1].trial.file_bytes
        wanted = next_size(made, _slope(made, slope))
        alike = min(had, key=lambda asked: abs(math.log(had[asked] / wanted)))
        size = max(1, min(round(wanted * alike / had[alike]), most))
        met = any(one.excess <= 0 for one in made)
        if (met and (number + 1 >= files or size in had)) or any(_NEAR <= one.excess <= 0 for one in made):
            break
        if not met and (number + 1 >= files or size in had):
            size = min(math.ceil(_UP * max(had)), most)
            if size in had:
                break
    return made


def _slope(made: Sequence[Made], typical: float) -> float:
    """Return how log₂ of the figure falls with log₂ of the size around the bound, not far from what is typical."""
    best, *others = sorted(made, key=lambda one: abs(one.excess))
    apart = [one for one in others if one.excess > _FLOOR and abs(one.log_size - best.log_size) > _APART]
    if not apart:
        return typical
    found = (apart[0].excess - best.excess) / (apart[0].log_size - best.log_size)
    return min(max(found, 4 * typical), typical / 4)


def next_size(made: Sequence[Made], slope: float) -> float:
    """Return the bytes of the next file: where its figure would be just within its bound.

    Args:
        made: so far, at least one.
        slope: of log₂ of the figure by log₂ of the size, below 0.
    """
    best = min(made, key=lambda one: abs(one.excess))
    wanted = best.log_size + max(-_STRIDE, min((_AIM - best.excess) / slope, _STRIDE))
    high = min((one.log_size for one in made if one.excess <= 0), default=math.inf)
    low = max((one.log_size for one in made if one.excess > 0 and one.log_size < high), default=-math.inf)
    if not low < wanted < high:
        wanted = (low + high) / 2 if math.isfinite(low + high) else wanted
    return float(2.0**wanted)
