"""An LC state on disk: one safetensors file, replaced all at once after each C step and each epoch of fine-tuning.

A process killed at any moment leaves the state before or the state after, never half of one; a run that goes on from
it ends with the same bytes as one that was never interrupted.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from laconic.calibrate.quality import Quality
from laconic.errors import DataError
from laconic.format import container
from laconic.lc.schedule import Progress
from laconic.lc.sizes import Sizes
from laconic.lc.state import LCState, Point, sized
from laconic.lc.steps import relaxed_rows
from laconic.models.params import to_numpy
from laconic.models.states import job_text, read_state, require_same, write_state
from laconic.training.trainer import packed, unpacked

_KIND = "lc state 2"
_GROUPS = ("weights", "multipliers", "importance", "compressed")
_TUNING = "tuning/"


def save_state(path: Path, state: LCState, job: Mapping[str, str], history: list[Progress]) -> None:
    """Write ``state``, replacing what is there.

    Args:
        path: the checkpoint.
        state: what `lc.steps.run` has yielded.
        job: whatever must not change before a resumed run: plan, data, seed, threads.
        history: the progress of every state so far.
    """
    tensors = {f"{group}/{name}": tensor for group in _GROUPS for name, tensor in getattr(state, group).items()}
    codes = np.frombuffer(container.dumps(state.codes), np.uint8)
    tensors["codes"] = torch.from_numpy(codes.copy())
    if state.best:
        tensors["best"] = torch.from_numpy(np.frombuffer(container.dumps(state.best.codes), np.uint8).copy())
    if state.choices is not None:
        tensors["choices"] = torch.from_numpy(np.frombuffer(container.dumps(state.choices), np.uint8).copy())
    tuning, marks = packed(state.tuning) if state.tuning else ({}, {})
    tensors |= {_TUNING + name: tensor for name, tensor in tuning.items()}
    metadata = {
        **marks,
        "job": job_text(job),
        "began": json.dumps(state.began),
        "history": json.dumps([asdict(progress) for progress in history]),
        "best": json.dumps(_record(state.best)) if state.best else "",
        "sizes": json.dumps(asdict(state.sizes)) if state.sizes else "",
    }
    write_state(path, _KIND, tensors, metadata)


def _record(point: Point) -> list[Any]:
    """Return what there is of a point beside its codes, as plain values."""
    return [asdict(point.progress), point.least, asdict(point.quality) if point.quality else None]


def load_state(path: Path, start: LCState, job: Mapping[str, str]) -> tuple[LCState, list[Progress]]:
    """Return the state in ``path`` and the history of the run.

    Args:
        path: what `save_state` wrote.
        start: the state that the run started from: its rows are taken over.
        job: of the present run.

    Raises:
        DataError: when the file is no LC state, is damaged, or is that of another job; the message says what differs.
    """
    tensors, metadata = read_state(path, _KIND, "checkpoint of the LC algorithm")
    require_same(path, metadata["job"], job)
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        if group in groups:
            groups[group][name] = tensor.to(start.weights[name].device) if name in start.weights else tensor
    tuning = {key.removeprefix(_TUNING): tensor for key, tensor in tensors.items() if key.startswith(_TUNING)}
    history = [Progress(**entry) for entry in json.loads(metadata["history"])]
    codes = container.loads(to_numpy(tensors["codes"]).tobytes()).codes
    differing = (groups[group].keys() ^ getattr(start, group).keys() for group in _GROUPS)
    strange = sorted((codes.keys() ^ start.codes.keys()).union(*differing))
    if strange:
        raise DataError(f"{path} is of another network, plan or metric: {', '.join(strange)} on one side only")
    ordered = {group: {name: groups[group][name] for name in getattr(start, group)} for group in _GROUPS}
    codes = {name: codes[name] for name in start.codes}
    best = None
    if "best" in tensors:
        point = container.loads(to_numpy(tensors["best"]).tobytes()).codes
        progress, least, quality = json.loads(metadata["best"])
        reached = quality and Quality(**quality)
        best = Point({name: point[name] for name in start.weights}, Progress(**progress), least, reached)
    choices = None
    if "choices" in tensors:
        chosen = container.loads(to_numpy(tensors["choices"]).tobytes()).codes
        choices = {name: chosen[name] for name in start.codes}
    sizes = Sizes(**json.loads(metadata["sizes"])) if metadata["sizes"] else None
    rows = start.rows if choices is None else relaxed_rows(start.rows, choices)
    state = replace(
        start,
        rows=sized(rows, sizes.size) if sizes else rows,
        choices=choices,
        began=json.loads(metadata["began"]),
        sizes=sizes,
        progress=history[-1],
        codes=codes,
        weights=ordered["weights"],
        multipliers=ordered["multipliers"],
        importance=ordered["importance"],
        compressed=ordered["compressed"],
        tuning=unpacked(tuning, metadata) if tuning else None,
        best=best,
    )
    return state, history
