"""What is shown of a detector: images with what is there and what is found, and a row for each file."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from laconic.experiments.recipes.statement import Judged, table
from laconic.models.data.shapes import CLASSES
from laconic.training.detection.suppression import Found

SHOWN, SURE = 12, 0.4
"""Images, and the least score of a box that is drawn."""

_COLOURS = ("yellow", "cyan", "lime")


def figure(inputs: Float[Tensor, "n 3 h w"], targets: Float[Tensor, "n m 5"], detected: Sequence[Found]) -> Figure:
    """Return the first images with their objects, dashed, and the boxes that are found.

    Args:
        inputs: −1 to 1.
        targets: of these images.
        detected: in them.
    """
    shown = Figure(figsize=(12, 4.5), layout="constrained")
    panels = shown.subplots(2, SHOWN // 2)
    for axes, image, objects, found in zip(panels.flat, inputs, targets, detected, strict=False):
        axes.imshow(((image.permute(1, 2, 0) + 1) / 2).numpy())
        for label, *box in objects.tolist():
            if label:
                _box(axes, box, "white", "--")
        for box, label, score in zip(found.boxes.tolist(), found.labels, found.scores, strict=True):
            if score >= SURE:
                _box(axes, box, _COLOURS[label - 1], "-", f"{CLASSES[label - 1]} {score:.2f}")
    for axes in panels.flat:
        axes.set_axis_off()
    return shown


def _box(axes: Axes, box: Sequence[float], colour: str, line: str, text: str = "") -> None:
    """Draw a box: pixel i is drawn from i − 0.5 to i + 0.5."""
    x1, y1, x2, y2 = (number - 0.5 for number in box)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, ls=line, lw=1.2))
    if text:
        axes.text(
            x1, y2, text, fontsize=7, color=colour, va="top", bbox={"fc": "black", "alpha": 0.5, "pad": 0.5, "lw": 0}
        )


def page(rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Judged], settings: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# A small SSDLite on discs, squares and triangles", "",
        f"MobileNetV1 of width {settings['width']} with the stem for small images, two maps after it, on images of "
        f"{settings['side']}x{settings['side']}; {settings['train']:,} to learn from, {settings['epochs']} epochs, "
        f"{settings['test']} held out. Boxes of a score of at least 0.01 count, as COCO's rule wants it.", "",
        "| file | bytes | mAP@.5 | mAP@.5:.95 | " + " | ".join(f"{name}, AP@.5" for name in CLASSES) + " |",
        "|---|---:|---:|---:|" + "---:|" * len(CLASSES),
    ]  # fmt: skip
    for row in rows:
        each = " | ".join("–" if (share := row["AP@.5"][name]) is None else f"{share:.3f}" for name in CLASSES)
        size = f"{row['bytes']:,}" if "bytes" in row else "–"
        lines.append(f"| {row['file']} | {size} | {row['mAP@.5']:.3f} | {row['mAP']:.3f} | {each} |")
    caption = (
        f"Images held out: objects dashed, boxes of a score of at least {SURE} as the first calibrated file finds them."
    )
    return "\n".join(
        [*lines, "", *table(verdicts), "", "![objects, and what is found](detection.png)", "", caption, ""]
    )
