"""How much of a calibrated file is chance of its samples: files of as many bytes, from parts of them."""

from collections.abc import Collection

import torch
from torch import Tensor

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.network import Tick, silent
from laconic.calibrate.told import Stability
from laconic.errors import DataError
from laconic.models.params import decompress
from laconic.models.ties import Untied
from laconic.quantize.budget import Budget
from laconic.training.batches import Batch, rows_of, size_of
from laconic.training.judges import distance

FILES = 3
"""That are made: of either half, and of a quarter."""


def stability(
    network: Untied, calibration: Calibration, size: int, quality: str, reached: float,
    *, lossless: Collection[str] = (), buffers: Collection[str] = (), fold: bool = True, tune: bool = True,
    tick: Tick = silent,
) -> Stability:  # fmt: skip
    """Return how far files of parts of the samples are from each other and from the original.

    Samples that are held out stay so, and judge all of them. It takes about `FILES` times as long as the file itself.

    Args:
        network: each tensor once.
        calibration: of the file.
        size: of the file, bytes.
        quality: that it was made with.
        reached: its distance from the original.
        lossless: names of tensors that stay as they are.
        buffers: names that are a module's buffers.
        fold: whether batch normalization may be folded.
        tune: whether vectors are tuned.
        tick: told of the progress, in stage "parts".

    Raises:
        DataError: for fewer than four samples.
        PlanError: as `Ready.fitted`.
    """
    order = [(batch, row) for batch in calibration.seen for row in range(size_of(batch))]
    if len(order) < 4:
        raise DataError(f"{len(order)} samples have no halves to compare: give at least four, beside those held out")
    said = list[Tensor]()
    parts = order[::2], order[1::2], order[::4]
    for done, part in enumerate(parts):
        tick("parts", done, FILES)
        own = Calibration(calibration.task, _batches(part), calibration.unseen)
        ready = Ready.of(network, own, lossless=lossless, buffers=buffers, fold=fold)
        judge = ready.outputs
        fitted, _ = ready.fitted(Budget(size=size), quality, {}, tune=tune)
        params = decompress({ready.names[name]: code for name, code in fitted.codes.items()})
        said.append(judge.said(params))
    first, second, quarter = (distance(judge.rows, one, judge.kind) for one in said)
    tick("parts", FILES, FILES)
    half = (first + second) / 2
    counts = len(parts[2]), len(parts[0]), len(order)
    return Stability(distance(said[0], said[1], judge.kind), tuple(zip(counts, (quarter, half, reached), strict=True)))


def _batches(rows: list[tuple[Batch, int]]) -> tuple[Batch, ...]:
    """Return some rows of batches, those of one batch together."""
    found = list[Batch]()
    for batch in {id(batch): batch for batch, _ in rows}.values():
        own = [rows_of(batch, row, row + 1) for of, row in rows if of is batch]
        found.append(_together(own))
    return tuple(found)


def _together(parts: list[Batch]) -> Batch:
    """Return batches of one row as one batch."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts) if first.ndim else first
    if isinstance(first, dict):
        return {name: _together([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple | list):
        return tuple(_together([part[place] for part in parts]) for place in range(len(first)))
    return first
