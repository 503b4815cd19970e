"""A small SSDLite, trained end to end on shapes, and its mAP after direct and calibrated compression."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from laconic.api import compress
from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.detection.page import figure, page
from laconic.experiments.recipes.recipe import Context, Outcome
from laconic.experiments.recipes.reference import seconds_of, trained
from laconic.experiments.recipes.statement import Judged
from laconic.models.data.shapes import CLASSES, shapes
from laconic.models.nets.ssd import Detector, initialize_detector
from laconic.request import Effort
from laconic.training.detection.precision import Precision
from laconic.training.detection.task import detection, evaluated
from laconic.training.optimization import Optimization, adam, cosine
from laconic.training.task import Task

LEAST, LOST, MINUTES = 0.6, 0.03, 20
"""mAP@.5 that the detector has at least, what 4 bits may cost of it, and the minutes of training, on two cores."""

_KEY = "ssdlite"


@final
@dataclass(frozen=True)
class Settings:
    """What is trained, and how.

    Args:
        side: of an image in pixels.
        train: images to learn from.
        test: images held out.
        epochs: passes over the former.
        batch: images of a step.
        lr: of Adam at the start; half a cosine from there.
        width: of the MobileNet.
        bits: a weight, of each file.
        samples: images that calibration looks at, a fifth of them to judge by.
    """

    side: int = 64
    train: int = 2000
    test: int = 200
    epochs: int = 18
    batch: int = 32
    lr: float = 4e-3
    width: float = 0.25
    bits: tuple[int, ...] = (4, 3)
    samples: int = 256


FULL, FAST = Settings(), Settings(train=64, test=16, epochs=1, bits=(4,), samples=32)


def run(context: Context) -> Outcome:
    """Train, compress, judge and show."""
    how = FAST if context.fast else FULL
    task = made(how, context.seed)
    training = Optimization(how.epochs, how.lr, cosine, optimizer=adam)
    params = trained(context.part(0.02, 0.7), _KEY, task, training)
    efforts: tuple[Effort, ...] = ("direct", "calibrate")
    jobs = [(bits, effort) for bits in how.bits for effort in efforts]
    first, _ = context.cache.point("trained/judged", partial(_judged, task, params))
    rows, shown = [{"file": "as trained", **first}], params
    for place, (bits, effort) in enumerate(jobs):
        context.say(0.7 + 0.3 * place / len(jobs), f"{bits} bits, {effort}")
        compute = partial(_compressed, task, params, bits, effort, how, context.seed)
        figures, found = context.cache.point(f"{bits} bits/{effort}", compute)
        rows.append({"file": f"{bits} bits, {effort}", **figures})
        shown = dict(found) if (bits, effort) == (how.bits[0], "calibrate") else shown
    verdicts = judged(rows, seconds_of(context, _KEY), how)
    record = {
        "recipe": "detection", "source": "none: the set is the project's own", "settings": asdict(how),
        "boxes": len(_detector(task).default_boxes), "seconds": seconds_of(context, _KEY), "rows": rows,
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    (inputs, targets), *_ = task.batches("test", 0)
    pictures = figure(inputs, targets, evaluated(task, shown, limits=(0.5,), areas=("all",))[1])
    return Outcome(record, page(rows, verdicts, asdict(how)), {"detection.png": pictures})


def made(how: Settings, seed: int) -> Task:
    """Return the task: a detector with first weights, and the shapes."""
    data = shapes({"train": how.train, "validation": max(8, how.test // 2), "test": how.test}, how.side, seed)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator when they are made
        detector = Detector(
            data.shape, data.classes, base="mobilenet-v1", width=how.width, small=True, extras=2, scales=(0.3, 0.6)
        )
    initialize_detector(detector, torch.Generator().manual_seed(seed))
    metadata = {"net": "ssdlite", "data": "shapes", "preprocessing": data.preprocessing}
    return detection(detector, data, metadata, batch=how.batch)


def judged(rows: list[dict[str, Any]], seconds: float | None, how: Settings) -> list[Judged]:
    """Return whether the detector is good enough, in time, and as good at 4 bits.

    Args:
        rows: the first as trained; with "mAP@.5".
        seconds: of training.
        how: with the bits.
    """
    first, by_name = rows[0]["mAP@.5"], {row["file"]: row["mAP@.5"] for row in rows}
    bits = how.bits[0]
    lost = first - by_name[f"{bits} bits, calibrate"]
    texts = (
        (f"mAP@.5 of {LEAST} at least on {how.test} images held out", first >= LEAST, f"{first:.4f}"),
        (f"trained in {MINUTES} minutes of two cores", (seconds or 0) <= 2 * 60 * MINUTES,
         "on one thread" if seconds else "not timed"),
        (f"at {bits} bits a weight, calibrated, at most {LOST} below", lost <= LOST, f"{lost:+.3f} below"),
    )  # fmt: skip
    return [Judged(text, "own target", "holds" if true else "does not hold", words) for text, true, words in texts]


def _detector(task: Task) -> Detector:
    """Return the module of the task."""
    assert isinstance(task.module, Detector), "made so"
    return task.module


def _judged(task: Task, params: Mapping[str, Tensor]) -> Point:
    """Return how good the detector is on the images held out."""
    return _figures(evaluated(task, params)[0]), {}


def _compressed(task: Task, params: Mapping[str, Tensor], bits: int, effort: Effort, how: Settings, seed: int) -> Point:
    """Return a file of so many bits a weight, and how good it is."""
    samples = how.samples if effort == "calibrate" else None
    result = compress(dict(params), None, task, effort, bits=bits, samples=samples, seed=seed)
    return {"bytes": result.file_bytes, **_figures(evaluated(task, result.params)[0])}, result.params


def _figures(found: Precision) -> dict[str, Any]:
    """Return what is recorded of a precision: None for a class without objects."""
    each = {name: _rounded(found.of_class(label, 0.5)) for label, name in enumerate(CLASSES, 1)}
    return {"mAP@.5": _rounded(found.mean(0.5)), "mAP": _rounded(found.mean()), "AP@.5": each}


def _rounded(share: float) -> float | None:
    """Return a share to four decimals, None where it is none."""
    return None if math.isnan(share) else round(share, 4)
