"""The diagram of the blocks of compact networks: docs/notes/compact-blocks.png.

    python docs/make_block_diagrams.py [-o FILE]

Each block has 32 channels on maps of 14 × 14; bars are as wide as the channels that they stand for. Parameters, without
normalizations, and multiply-adds are counted by the project's counter as it runs the blocks of
`laconic.models.nets.blocks`.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from laconic.models.counting import counted
from laconic.models.nets import blocks

FILE = Path(__file__).parent / "notes" / "compact-blocks.png"
CHANNELS, SIDE, EXPANSION, GROUPS = 32, 14, 6, 4
_WIDE = CHANNELS * EXPANSION
_COLOURS = {"": "#dddddd", "full": "#f4a582", "pointwise": "#92c5de", "depthwise": "#a6dba0", "grouped": "#fddbc7"}


class Drawn(NamedTuple):
    """A block, and its steps from below: kind, label, channels that are written."""

    title: str
    block: nn.Module
    steps: tuple[tuple[str, str, int], ...]
    shortcut: bool = False


def drawn() -> list[Drawn]:
    """Return the blocks of the diagram."""
    read = ("", "input", CHANNELS)
    separable = (
        ("depthwise", "3×3 depthwise, ReLU6", CHANNELS),
        ("pointwise", "1×1, ReLU6", CHANNELS),
    )
    inverted = (
        ("pointwise", "1×1 expansion, ReLU6", _WIDE),
        ("depthwise", "3×3 depthwise, ReLU6", _WIDE),
        ("pointwise", "1×1 projection, linear", CHANNELS),
    )
    return [
        Drawn("convolution", blocks.grouped(CHANNELS, CHANNELS, 1), (read, ("full", "3×3", CHANNELS))),
        Drawn(
            f"grouped, {GROUPS} groups",
            blocks.grouped(CHANNELS, CHANNELS, GROUPS),
            (read, ("grouped", "3×3 in groups", CHANNELS)),
        ),
        Drawn("pointwise", blocks.pointwise(CHANNELS, CHANNELS), (read, ("pointwise", "1×1", CHANNELS))),
        Drawn(
            "depthwise separable (MobileNetV1)",
            blocks.DepthwiseSeparable(CHANNELS, CHANNELS, 1),
            (read, *separable),
        ),
        Drawn(
            "inverted residual (MobileNetV2)",
            blocks.InvertedResidual(CHANNELS, CHANNELS, 1, EXPANSION),
            (read, *inverted),
            shortcut=True,
        ),
    ]


def counts(block: nn.Module) -> tuple[int, int]:
    """Return parameters without normalizations, and multiply-adds, of a block on the maps of the diagram."""
    inputs = torch.zeros(1, CHANNELS, SIDE, SIDE)
    weights = [
        parameter.numel()
        for part in block.modules()
        if not isinstance(part, nn.BatchNorm2d)
        for parameter in part.parameters(recurse=False)
    ]
    return sum(weights), int(counted(block, lambda: block(inputs)).multiply_adds)


def draw(axes: Axes, one: Drawn) -> None:
    """Draw one block."""
    for height, (kind, label, channels) in enumerate(one.steps):
        axes.barh(height, channels, 0.42, left=-channels / 2, color=_COLOURS[kind], edgecolor="0.3", lw=0.8)
        axes.text(0, height + 0.27, f"{label}: {channels}", ha="center", va="bottom", fontsize=8)
        if height:
            axes.annotate("", (0, height - 0.22), (0, height - 0.5), arrowprops={"arrowstyle": "->", "lw": 0.9})
    top = len(one.steps) - 1
    if one.shortcut:
        side = 0.62 * _WIDE
        axes.plot([-CHANNELS / 2, -side, -side, -CHANNELS / 2], [0, 0, top, top], "k-", lw=0.9)
        axes.text(-side, top, "+ input", ha="center", va="bottom", fontsize=8)
    parameters, multiply_adds = counts(one.block)
    axes.set_title(f"{one.title}\n{parameters:,} weights\n{multiply_adds:,} multiply-adds", fontsize=9)
    axes.set(xlim=(-0.72 * _WIDE, 0.72 * _WIDE), ylim=(-0.4, 3.7))
    axes.axis("off")


def diagram() -> Figure:
    """Return the diagram."""
    every = drawn()
    figure = Figure(figsize=(3 * len(every), 4.2), layout="constrained")
    for axes, one in zip(figure.subplots(1, len(every)), every, strict=True):
        draw(axes, one)
    return figure


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("-o", "--output", type=Path, default=FILE)
    diagram().savefig(parser.parse_args().output, dpi=110)


if __name__ == "__main__":
    main()
