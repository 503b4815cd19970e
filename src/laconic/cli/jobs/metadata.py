"""The text beside the tensors of a checkpoint, which goes into the `.lac` file and comes back."""

from collections.abc import Mapping
from pathlib import Path

from laconic.errors import listed
from laconic.insight.ledger import INTERNAL

LIMIT = 1 << 16
"""Bytes of it that a `.lac` file takes along: they count in every budget."""


def carried(metadata: Mapping[str, str], path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the metadata that go along, and notes on what does not: keys of ours, and what is above `LIMIT`."""
    ours = [key for key in INTERNAL if key in metadata]
    kept, left_out = _least({key: value for key, value in metadata.items() if key not in ours})
    notes = [f"{path.name}: metadata {listed(ours)} left out: a .lac file has its own"] if ours else []
    if left_out:
        notes.append(f"{path.name}: metadata {listed(left_out)} left out: above {LIMIT:,} bytes")
    return kept, notes


def _least(metadata: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return what is within `LIMIT`, the longest being left out, and the keys of those."""
    left, left_out = LIMIT, list[str]()
    sizes = {key: len(key.encode()) + len(value.encode()) for key, value in metadata.items()}
    for key in sorted(sizes, key=sizes.__getitem__):
        left -= sizes[key]
        left_out += [key] * (left < 0)
    return {key: value for key, value in metadata.items() if key not in left_out}, left_out
