"""Where the search for a size begins: with the file that calibration makes for the same drop or KL, where it finds one.

It takes a small part of the time of the paths, and what they look for are sizes below it.
"""

import logging
from dataclasses import replace
from typing import Any

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.metering import reserved
from laconic.errors import LaconicError
from laconic.lc.bounds import Judge, told
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

    Nothing is calibrated beside rows of a plan, which calibration would not heed. Where calibration does not suit the
    network, or finds no file, that is said, and the state comes back as it was.

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
    if len(state.rows) > 1 or state.fixed or within.rest is None:
        return state
    buffers, names = buffers_of(task.module), within.rest.names or {name: name for name in reference}
    kept = [name for name in reference if name not in state.codes and name not in buffers]
    network = Untied(reference, names)
    try:
        ready = Ready.of(network, Calibration.of(task, samples=SAMPLES, seed=seed), lossless=kept, buffers=buffers)
        metadata = {**within.rest.metadata, **reserved(ready.network, None, within.rest.metadata)}
        trial, _, _ = ready.meeting(budget, "default", metadata, tune=True)  # the very file that calibration makes
    except LaconicError as error:
        _LOG.warning("calibration has no file to begin with: %s", error)
        return state
    codes = {name: trial.codes[name] for name in state.weights}
    params = decompress(codes)
    quality, size = judge(params), within.bytes(codes)
    if not quality.is_met or size >= (search.smallest or search.most):
        return state
    validation: dict[str, Any] = {**task.evaluate(params, "validation"), **told(quality)}
    progress = replace(state.progress, file_bytes=size, validation=validation, met=True)
    sizes = replace(search, met=size, run=RUN)  # the path of the first size has ended with it
    return replace(state, progress=progress, best=Point(codes, progress, 0.0, quality), sizes=sizes)
