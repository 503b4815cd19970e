"""Where the bits are that a calibrated file has above the limit of what its layers read: its parts add up exactly.

    8 · bytes / weights − R(D) = levels + order + trellis + side information + tables + rest + model

The first two come from the record of the file (`laconic.calibrate.meter`); the others are counted:

    trellis            the shaping loss of its states, ½ log₂(2πe/12) less their granular gain, of weights on grids
    side information   scales of rows, columns and positions, and steps
    tables             code lengths
    rest               all that is no such weight: biases, other tensors, names, lengths and checksums, the record
    model              what is left of the integers: below 0 where more is known of weights than as Gaussians of one
                       variance a layer, which is what R(D) takes them for

Source of the granular gains: Marcellin & Fischer, "Trellis coded quantization" (1990), with Ungerboeck's codes.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from laconic.calibrate.meter import METER, Meter
from laconic.errors import FormatError
from laconic.format.codes import GridCode
from laconic.format.container import LacFile
from laconic.insight.ledger import Ledger

CUBE = 0.5 * math.log2(2 * math.pi * math.e / 12)
"""Bits a weight that a scalar quantizer with an ideal coder loses at high rates."""

GAINS = {0: 0.0, 2: 0.99, 3: 1.09, 4: 1.16, 5: 1.22, 6: 1.27}
"""Granular gain of 2^ν states, dB."""


@final
@dataclass(frozen=True)
class Row:
    """A weight of the file.

    Args:
        name: of the weight.
        bits: that it takes, 8 · its bytes / its numbers.
        limit: R(D) at its own error.
        residual: of the first golden rule under Σ.
        objective: of the second.
        factor: α that makes the residual 0.
        factored: the objective with it.
    """

    name: str
    bits: float
    limit: float
    residual: float
    objective: float
    factor: float
    factored: float


@final
@dataclass(frozen=True)
class Gap:
    """How far a file is above R(D), in bits a weight.

    Args:
        bits: of the file.
        limit: R(D) at the error of the network.
        parts: what is above it, as above; they add up to it.
        rows: its calibrated weights, in the order of the file.
    """

    bits: float
    limit: float
    parts: Mapping[str, float]
    rows: tuple[Row, ...]

    @property
    def above(self) -> float:
        """What the file has above the limit."""
        return self.bits - self.limit

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        return {"bits": self.bits, "limit": self.limit, "above": self.above, "parts": dict(self.parts),
                "layers": [asdict(row) for row in self.rows]}  # fmt: skip


def gap(file: LacFile, account: Ledger, meter: Meter | None = None) -> Gap | None:
    """Return how far a file is above the limit, or None where nobody has measured that.

    Args:
        file: open.
        account: its own.
        meter: of the file, where the file has no record of it.

    Raises:
        FormatError: when its record is none, or one of other weights.
    """
    entries = [one for one in account.entries if one.code == "grid" and len(one.shape) > 1 and not one.tied]
    text, weights = file.metadata.get(METER), sum(one.weights for one in account.entries)
    if meter is None and text is None:
        return None
    names = [one.name for one in entries]
    try:
        meter = meter or Meter.parse(text or "", names)
    except FormatError as error:
        raise FormatError(f"metadata {METER!r}: {error}") from None
    if not (weights and names):
        return None
    sizes = {part: 8 * size / weights for part, size in file.parts(names).items()}
    bits, integers = 8 * account.file_bytes / weights, sizes["payload"]
    numbers = [math.prod(one.shape) for one in entries]
    least = file.code(entries[min(range(len(entries)), key=numbers.__getitem__)].name)
    loss = shaping(least.coder.model.nu) if isinstance(least, GridCode) else 0.0
    known = {"levels": meter.levels, "order": meter.order, "trellis": loss * sum(numbers) / weights}
    parts = {
        **known,
        "side information": sizes["scales"] + sizes["step"],
        "tables": sizes["model"],
        "rest": bits - sum(sizes.values()),
        "model": integers - meter.limit - sum(known.values()),
    }
    rows = [
        Row(one.name, 8 * one.bytes / max(number, 1), own.limit, own.residual, own.objective, own.factor, own.factored)
        for one, number, own in zip(entries, numbers, meter.readings.values(), strict=True)
    ]
    return Gap(bits, meter.limit, parts, tuple(rows))


def shaping(nu: int) -> float:
    """Return the bits a weight that a trellis of 2^ν states is from ideal shaping; 0 for none.

    >>> [round(shaping(nu), 3) for nu in (0, 3, 6)]
    [0.255, 0.074, 0.044]
    """
    return CUBE - GAINS[nu] / (20 * math.log10(2))
