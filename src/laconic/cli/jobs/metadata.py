"""The text beside the tensors of a checkpoint, which goes into the `.lac` file and comes back."""

from collections.abc import Mapping
from pathlib import Path

from laconic.cli.console import Output
from laconic.errors import listed
from laconic.format.signatures import kind_of_file
from laconic.insight.ledger import INTERNAL, REFERENCE_BYTES
from laconic.models.checkpoints import checkpoint_size
from laconic.models.directories import bytes_of, weight_files
from laconic.models.params import Params

LIMIT = 1 << 16
"""Bytes of it that a `.lac` file takes along: they count in every budget."""


def noted(say: Output, path: Path, params: Params, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata that a file has of its checkpoint, with the bytes that ratios are of; say what is left out.

    Args:
        say: how the command talks.
        path: of the checkpoint: a file, a folder or an index.
        params: its tensors.
        metadata: the text beside them.
    """
    notes, left_out = carried(metadata, path)
    say.note(*left_out)
    whole = bytes_of(path)
    kind = kind_of_file(weight_files(path)[0])
    is_network = kind in ("safetensors", "gguf")  # torch.save puts an optimizer's state beside it, and more
    return {**notes, REFERENCE_BYTES: str(whole if is_network else min(whole, checkpoint_size(params)))}


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
