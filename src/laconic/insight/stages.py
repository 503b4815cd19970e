"""From the checkpoint to the file, a stage at a time: what each takes away, as the ledger counts it.

reference → tensors alone → tied once → folded → survivors as floats → fixed-length indices → entropy-coded → file
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from laconic.format.coding import itemsize
from laconic.insight.anatomy import Piece
from laconic.insight.ledger import Ledger


@final
@dataclass(frozen=True)
class Stage:
    """What is left after a stage.

    Args:
        name: of the stage.
        bytes: that are left after it.
        change: bytes that it has added; less than 0 where it took some away. The first one's are all of them.
        about: what it is, in a sentence.
    """

    name: str
    bytes: int
    change: int
    about: str


def stages(parts: Sequence[Piece], account: Ledger, reference_bytes: int) -> tuple[Stage, ...]:
    """Return the stages of a file, without those that change nothing.

    Law: the changes add up to the bytes of the file.

    Args:
        parts: its tensors.
        account: its own.
        reference_bytes: of the file that was compressed.
    """
    dense = sum(part.entry.dense_bits for part in parts) // 8
    tied = sum(_dense_bytes(one.shape, one.dtype) for one in account.entries if one.tied)
    twice = tied if reference_bytes >= dense + tied else 0  # else the reference had them once
    folded = dense - sum(part.entry.dense_bits // 8 for part in parts if part.constant)
    floats = sum(part.float_bytes for part in parts if not part.constant)
    fixed = sum(-(-part.entry.published_bits // 8) for part in parts)
    entropy = round(sum(part.entry.entropy_bytes for part in parts))
    coded = sum(part.entry.bytes for part in parts)
    levels = [
        ("reference", reference_bytes, "the file that was compressed"),
        ("tensors alone", dense + twice, "without the reference's own header, or what else it holds"),
        ("tied once", dense, "tensors with several names are counted once"),
        ("constants", folded, "tensors of one value, as norms are once they are folded into layers"),
        ("survivors, factors", floats, "pruned weights and products gone: what is left, as a list of floats"),
        ("fixed-length indices", fixed, "as publications count: indices, coordinates, codebooks, and no file"),
        ("entropy-coded", entropy, "the entropy of the symbols and the plain size of values"),
        ("coded blocks", coded, "as they lie in the file, with scales and tables of code lengths"),
        ("file", account.file_bytes, "with names, lengths, checksums and metadata"),
    ]
    found = [Stage(levels[0][0], reference_bytes, reference_bytes, levels[0][2])]
    for name, size, about in levels[1:]:
        if size != found[-1].bytes or name == "file":
            found.append(Stage(name, size, size - found[-1].bytes, about))
    return tuple(found)


def _dense_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Return the bytes of a tensor as it was."""
    size = itemsize(dtype)
    for length in shape:
        size *= length
    return size
