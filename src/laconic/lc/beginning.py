"""Where training within a budget begins: beside the file that calibration makes for the same budget, if it finds one.

It takes a small part of the time of a path. For a drop or a KL the paths look for sizes below its own. For a size it is
the point to beat: the path ends with it, or within one standard error of it on the validation split, or better. LC
begins at direct compression, of which below a bit a weight little of a deep network is left; calibration lets errors
make good each other, which no importance of single weights does (`docs/notes/within.md`).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.metering import reserved
from laconic.calibrate.trial import Trial
from laconic.csteps.parametrisations import Plain
from laconic.errors import LaconicError
from laconic.format.codes import Code
from laconic.lc.bounds import Judge, told
from laconic.lc.points import figure
from laconic.lc.sizes import RUN
from laconic.lc.state import LCState, Point, budget_of
from laconic.models.params import Params, buffers_of, decompress
from laconic.models.ties import Untied
from laconic.quantize.budget import Budget
from laconic.training.task import Task

_LOG = logging.getLogger(__name__)


def begun(state: LCState, task: Task, reference: Params, budget: Budget, judge: Judge, seed: int) -> LCState:
    """Return the state with calibration's file as the best point, where that is smaller than its own size.

    What the progress then says is of that file, for it is the first of the search.

    Nothing is calibrated beside rows of a plan, which calibration would not heed, nor for another parametrisation.
    Where calibration does not suit the network, or finds no file, that is said, and the state comes back as it was.

    Args:
        state: the first, with `laconic.lc.sizes.Sizes`, and its point judged.
        task: whose training inputs are looked at.
        reference: the original's parameters and buffers.
        budget: a drop or a KL.
        judge: says what a network reaches of it.
        seed: of the order of the inputs.
    """
    within, search = budget_of(state), state.sizes
    assert within is not None, "a quality is asked of files of some size"
    assert search is not None, "the search has begun"

    def make(ready: Ready, metadata: Mapping[str, str]) -> Trial:
        whole = {**metadata, **reserved(ready.network, None, metadata)}  # the very file that calibration makes
        return ready.meeting(budget, "default", whole, tune=True)[0]

    codes = _calibrated(state, task, reference, seed, make)
    if codes is None:
        return state
    params = decompress(codes)
    quality, size = judge(params), within.bytes(codes)
    if not quality.is_met or size >= (search.smallest or search.most):
        return state
    validation: dict[str, Any] = {**task.evaluate(params, "validation"), **told(quality)}
    progress = replace(state.progress, file_bytes=size, validation=validation, met=True)
    sizes = replace(search, met=size, run=RUN)  # the path of the first size has ended with it
    return replace(state, progress=progress, best=Point(codes, progress, 0.0, quality), sizes=sizes)


def beside(state: LCState, task: Task, reference: Params, seed: int) -> LCState:
    """Return the state with calibration's file of the same size as its best point, where that is the better one.

    What the progress says stays that of direct compression, where the path begins; what calibration reaches is beside
    it. Else as `begun`.

    Args:
        state: the first, looked at on the validation split.
        task: whose training inputs are looked at, and which says what is better.
        reference: the original's parameters and buffers.
        seed: of the order of the inputs.
    """
    within = budget_of(state)
    assert within is not None, "there is a size"

    def make(ready: Ready, metadata: Mapping[str, str]) -> Trial:
        return ready.within(within.size, TRIES["default"], metadata, tune=True)[0]

    codes = _calibrated(state, task, reference, seed, make)
    if codes is None:
        return state
    file_bytes, validation = within.bytes(codes), task.evaluate(decompress(codes), "validation")
    better = state.best is None or figure(validation) < figure(state.best.progress.validation)
    if file_bytes > within.size or not better:
        return state
    progress = replace(state.progress, calibrated=validation)
    own = replace(progress, file_bytes=file_bytes, validation=validation)
    return replace(state, progress=progress, best=Point(codes, own, figure(validation)))


def _calibrated(
    state: LCState, task: Task, reference: Params, seed: int, make: Callable[[Ready, Mapping[str, str]], Trial]
) -> dict[str, Code] | None:
    """Return the codes of a file of calibration by name, or None where there is none, which is said."""
    within = budget_of(state)
    if within is None or within.rest is None or len(state.rows) > 1 or state.fixed:
        return None
    if within.parametrisation != Plain():
        return None  # what is asked is a file of another kind
    buffers, names = buffers_of(task.module), within.rest.names or {name: name for name in reference}
    kept = [name for name in reference if name not in state.codes and name not in buffers]
    try:
        calibration = Calibration.of(task, samples=SAMPLES, seed=seed)
        ready = Ready.of(Untied(reference, names), calibration, lossless=kept, buffers=buffers)
        trial = make(ready, within.rest.metadata)
    except LaconicError as error:
        _LOG.warning("calibration has no file to begin with: %s", error)
        return None
    return {name: trial.codes[name] for name in state.weights}
