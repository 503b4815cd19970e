"""Tables 5 and 6 of MobileNetV2 by counting: the one counter beside what is printed, and why they differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import nn

from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.recipe import Context, Outcome
from laconic.experiments.recipes.statement import Judged, table
from laconic.models.counting import counted
from laconic.models.nets.ssd import Detector
from laconic.models.nets.ssd_vgg import SSDVGG
from laconic.models.nets.yolo import YOLOv2

SOURCE = (
    "Sandler, Howard, Zhu, Zhmoginov & Chen, MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018, "
    "tables 5 and 6"
)

NEAR = 0.03
"""How far a count may be from what is printed, of the latter."""

_ALL, _AFTER = "the network", "head and maps after the backbone"
_PARTS = ("head.", "backbone.extra.")


@final
@dataclass(frozen=True)
class Row:
    """A detector as it is printed, and how it is counted.

    Args:
        name: of the detector.
        place: the table.
        make: builds it.
        side: of an image in pixels.
        part: of it that is counted.
        parameters: printed, in millions.
        billions: printed, multiply-adds.
        operations: that a multiply-add is taken for: 2 where multiplications and additions by themselves are near.
        why: it differs, as far as counts tell.
    """

    name: str
    place: str
    make: Callable[[], nn.Module]
    side: int
    part: str
    parameters: float
    billions: float
    operations: int = 1
    why: str = ""


_V1, _V2 = (partial(Detector, (3, 320, 320), 80, base=base) for base in ("mobilenet-v1", "mobilenet-v2"))

ROWS = (
    Row("SSD, MobileNetV2", "table 5", partial(_V2, lite=False), 320, _AFTER, 14.8, 1.25),
    Row(
        "SSDLite, MobileNetV2", "table 5", _V2, 320, _AFTER, 2.1, 0.35, 2,
        "0.35 is twice the multiply-adds: multiplications and additions by themselves, as neither the row above counts "
        "nor table 6, where 0.8 less the 0.61 of the backbone leaves 0.18",
    ),
    Row("SSDLite, MobileNetV1", "table 6", _V1, 320, _ALL, 5.1, 1.3),
    Row("SSDLite, MobileNetV2", "table 6", _V2, 320, _ALL, 4.3, 0.8),
    Row(
        "SSD300", "table 6", partial(SSDVGG, 300), 300, _ALL, 36.1, 35.2, 1,
        "the parameters that are printed are SSD512's, which has a map and a head more",
    ),
    Row("SSD512", "table 6", partial(SSDVGG, 512), 512, _ALL, 36.1, 99.5),
    Row(
        "YOLOv2, as in its configuration", "table 6", YOLOv2, 416, _ALL, 50.7, 17.5, 1,
        "maps of twice the side are narrowed to 64 channels before they join the last ones",
    ),
    Row(
        "YOLOv2, as in its paper", "table 6", partial(YOLOv2, narrowed=False), 416, _ALL, 50.7, 17.5, 1,
        "they join with all 512 channels: what is printed are parameters of the one and multiply-adds of the other",
    ),
)  # fmt: skip


def run(context: Context) -> Outcome:
    """Count every row, and judge."""
    found = []
    for place, row in enumerate(ROWS):
        context.say(place / len(ROWS), f"{row.name}, {row.place}")
        figures, _ = context.cache.point(f"{row.place}/{row.name}", partial(_counted, row))
        found.append(_record(row, figures))
    verdicts = [one for row, own in zip(ROWS, found, strict=True) for one in judged(row, own)]
    record = {
        "recipe": "detection-counts", "source": SOURCE,
        "settings": {"classes": 80, "within": NEAR}, "rows": found, "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    return Outcome(record, _page(found, verdicts), {})


def judged(row: Row, own: Mapping[str, Any]) -> list[Judged]:
    """Return whether parameters and multiply-adds are within `NEAR` of what is printed.

    Args:
        row: as it is printed.
        own: "parameters" and "multiply-adds", counted.
    """
    taken, printed_taken = own["multiply-adds"], row.billions * 1e9
    counts = [
        (f"{row.parameters} million parameters", own["parameters"], row.parameters * 1e6),
        (f"{row.billions} billion multiply-adds", taken, printed_taken),
    ]
    if row.operations == 2:
        counts.append((f"{row.billions} billion multiplications and additions", 2 * taken, printed_taken))
    return [
        Judged(
            f"{row.name}, {row.part}: {text}", row.place,
            "holds" if abs(mine / printed - 1) <= NEAR else "does not hold", f"{mine:,}, {mine / printed - 1:+.1%}",
        )
        for text, mine, printed in counts
    ]  # fmt: skip


def _counted(row: Row) -> Point:
    """Return the counts of a row: of a network without numbers, for only shapes count."""
    with torch.device("meta"):
        module, images = row.make(), torch.zeros(1, 3, row.side, row.side)
    count = counted(module, lambda: module(images))
    assert not count.unknown, "every operation has a formula"
    parts = _PARTS if row.part == _AFTER else ("",)
    weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith(parts))
    return {
        "parameters": weights,
        "multiply-adds": sum(c.multiply_adds or 0 for c in count.calls if c.layer.startswith(parts)),
    }, {}


def _record(row: Row, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with what is printed."""
    return {
        "detector": row.name, "place": row.place, "side": row.side, "counted": row.part,
        "published": {"parameters": row.parameters * 1e6, "multiply-adds": row.billions * 1e9},
        **figures, "operations": row.operations, "why": row.why,
    }  # fmt: skip


def _page(found: list[dict[str, Any]], verdicts: list[Judged]) -> str:
    """Return the page."""
    lines = [
        "# What detectors cost", "",
        "Parameters and multiply-adds for one image and 80 classes, by the counter of `laconic inspect --cost`. "
        "Activations, pooling and batch normalization (which folds into convolutions) have no multiply-adds.", "",
        "| detector | side | counted | parameters, millions | in print | multiply-adds, billions | in print | why |",
        "|---|---:|---|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for row in found:
        printed, unit = row["published"], (1e6, 1e9)
        (weights, wanted), (taken, said) = (
            (row[key] / each, printed[key] / each) for key, each in zip(printed, unit, strict=True)
        )
        lines.append(
            f"| {row['detector']} ({row['place']}) | {row['side']} | {row['counted']} | {weights:.3f} | {wanted:.1f} | "
            f"{taken:.4g} | {said:.4g} | {row['why']} |"
        )
    return "\n".join([*lines, "", *table(verdicts), ""])
