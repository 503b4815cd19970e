"""Numbers of tensors beside a graph: node data for Google's Model Explorer, one file a number.

A node is known by its id, or by the name of a tensor that it writes. Of a network that `torch.export` has traced, the
node of a parameter is `p_` and its name, with `_` for what no Python name has; graphs that keep the names of tensors
have them as they are. Keys that a graph does not know are left out by the viewer, so that both stand here.

Source: Model Explorer, `node_data_builder.py` and `pytorch_exported_program_adapter_impl.py` (release 0.1.34).
"""

import re
from collections.abc import Mapping
from typing import Any

from laconic.insight.report import Report

NUMBERS = ("bytes", "bits", "zeros", "error", "damage")
"""Names of all node data: "error" takes a checkpoint, "damage" data as well."""

_COLOURS = [{"stop": 0, "bgColor": "#f7fbff"}, {"stop": 1, "bgColor": "#4292c6"}]
"""Of the least and the largest number, dark text readable on both."""


def overlays(report: Report) -> dict[str, dict[str, Any]]:
    """Return the node data of each number that there is, by its name among `NUMBERS`: results by node."""
    pieces = report.pieces
    numbers: list[tuple[str, Mapping[str, float]]] = [
        ("bytes", {one.entry.name: one.entry.bytes for one in pieces}),
        ("bits a weight", {one.entry.name: one.bits for one in pieces}),
        ("share of zeros", {one.entry.name: one.zeros / one.size for one in pieces if one.size}),
        ("signal over error, dB", {one.name: one.snr for one in report.changes if one.snr is not None}),
        ("share of the damage", report.harm),
    ]
    return {
        file: {
            "name": f"{title} ({report.file})",
            "results": {key: {"value": value} for name, value in values.items() for key in nodes(name)},
            "gradient": _COLOURS,
        }
        for file, (title, values) in zip(NUMBERS, numbers, strict=True)
        if values
    }


def nodes(name: str) -> tuple[str, ...]:
    """Return what a graph may call a tensor.

    >>> nodes("layer1.0.weight")
    ('layer1.0.weight', 'p_layer1_0_weight')
    """
    return name, "p_" + re.sub(r"\W", "_", name, flags=re.ASCII)
