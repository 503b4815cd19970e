"""Where the bits of a file are, counted exactly, and beside them what other ways of counting would say."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, final

from laconic.calibrate.meter import METER
from laconic.format.codes import Code
from laconic.format.codes.counting import Charged, ideal_bits, published
from laconic.format.coding import FLOATS, itemsize
from laconic.format.container import Charge, LacFile
from laconic.format.lossless import is_mask_code

REFERENCE_BYTES = "reference_bytes"
"""Key of the metadata that holds the size of the file that was compressed."""


BUFFERS = "buffers"
"""Key of the metadata that lists the tensors that a module had as buffers, in JSON: they are no weights."""

LAYOUTS = "layouts"
"""Key of the metadata that says how each weight is best run on the machine that it was compressed for, in JSON."""

INTERNAL = (REFERENCE_BYTES, BUFFERS, METER, LAYOUTS)
"""Keys that are of the file, not of the network: they do not go back into a checkpoint, nor come from one."""


@final
@dataclass(frozen=True)
class Entry:
    """One tensor of a file, or its header.

    Args:
        name: of the tensor; the header's is "(header)".
        shape: of the tensor.
        dtype: its element type.
        code: what it is stored as, in a few words.
        bytes: in the file, exactly; all entries together are the file.
        share: of the file, 0 to 1.
        entropy_bytes: order-0 entropy of the symbols plus the plain size of the values.
        published_bits: fixed-length indices and coordinate lists, as the sources count.
        dense_bits: of the tensor as it was.
        tied: where this is a further name of a tensor, the first one, under which all is counted; else empty.
        weights: how many of its elements bits are counted for: all, or none of what is no weight.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    code: str
    bytes: int
    share: float
    entropy_bytes: float
    published_bits: int
    dense_bits: int
    tied: str = ""
    weights: int = 0


@final
@dataclass(frozen=True)
class Ledger:
    """The account of one file.

    Args:
        entries: one per tensor, in the order of the file, and the header's.
        file_bytes: size of the file: the sum of the entries' bytes.
        reference_bytes: size of the uncompressed file, where the metadata tell it.
    """

    entries: tuple[Entry, ...]
    file_bytes: int
    reference_bytes: int | None

    @property
    def ratio(self) -> float | None:
        """Bytes of the uncompressed file over bytes of this one."""
        return self.reference_bytes / self.file_bytes if self.reference_bytes else None

    @property
    def published_ratio(self) -> float | None:
        """ρ = bits(reference) / bits(compressed), as the sources count (LC papers, Part II, section 2.3)."""
        published = sum(entry.published_bits for entry in self.entries)
        return sum(entry.dense_bits for entry in self.entries) / published if published else None

    @property
    def bits_per_weight(self) -> float | None:
        """8 · file bytes / weights, which a budget counts alike; None where there are none."""
        weights = sum(entry.weights for entry in self.entries)
        return 8 * self.file_bytes / weights if weights else None

    def records(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "tensors": [{**asdict(entry), "shape": list(entry.shape)} for entry in self.entries],
            "file_bytes": self.file_bytes,
            "reference_bytes": self.reference_bytes,
            "ratio": self.ratio,
            "published_ratio": self.published_ratio,
            "bits_per_weight": self.bits_per_weight,
        }


def ledger(file: LacFile, watch: Callable[[int], None] | None = None) -> Ledger:
    """Return the account of ``file``; every tensor is read once, whatever names it has, and let go of before the next.

    Args:
        file: open.
        watch: told how many tensors have been read.

    Raises:
        FormatError: when a block of the file is damaged, or it holds more than its limit allows.
    """
    file.require_room("nothing")
    (*charges, header), charged = file.charges(), Charged()
    total, buffers = sum(charge.bytes for charge in (*charges, header)), _listed(file.metadata.get(BUFFERS, ""))
    entries = []
    for charge in charges:
        counted = (0.0, 0, 0) if charge.tied else _counted(file.code(charge.name), charged)
        entries.append(_entry(charge, total, *counted[:2], 0 if charge.name in buffers else counted[2]))
        if watch is not None:
            watch(len(entries))
    entries.append(_entry(header, total, 0.0, 0, 0))
    reference = file.metadata.get(REFERENCE_BYTES, "")
    return Ledger(tuple(entries), total, int(reference) if reference.isascii() and reference.isdigit() else None)


def _listed(text: str) -> frozenset[str]:
    """Return the names in a JSON list; none where it is no such list."""
    try:
        names = json.loads(text or "[]")
    except ValueError:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def _counted(code: Code, charged: Charged) -> tuple[float, int, int]:
    """Return the bytes of a tensor by its entropy, its bits as published, and how many weights it has."""
    weighs = len(code.shape) >= 2 and code.dtype in FLOATS and not is_mask_code(code)
    return ideal_bits(code) / 8, published(code, charged), code.size if weighs else 0


def _entry(charge: Charge, total: int, entropy_bytes: float, published: int, weights: int) -> Entry:
    """Return the entry of a charge; the header's has no tensor to count, and a further name none of its own."""
    dense = 0 if not charge.dtype or charge.tied else 8 * itemsize(charge.dtype) * math.prod(charge.shape)
    return Entry(
        charge.name,
        charge.shape,
        charge.dtype,
        charge.code,
        charge.bytes,
        charge.bytes / total,
        entropy_bytes,
        published,
        dense,
        charge.tied,
        weights,
    )
