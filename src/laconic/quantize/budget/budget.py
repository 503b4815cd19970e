"""A budget named up front, and what meets it."""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import final

from laconic.arguments import require_types
from laconic.errors import PlanError
from laconic.format.codes import Code
from laconic.format.coding.ungerboeck import STATES
from laconic.quantize.budget.signal import Signal

NEAR = 0.01
"""A size is met from below within this share."""


@final
@dataclass(frozen=True)
class Tools:
    """What the codec may use.

    Args:
        states: of the trellis: 4, 8, 16, 32, 64; or 1 for none, each weight by itself.
        dct: the cosine transform of kernels.
        scales: classes of scale for rows, columns and positions.
        dead_zone: the rate in the choice of integers, and reconstruction at the centroids.
        pairs: integers are coded two at a time, for speed.
        shared: one set of tables for the network.
        columns: matrices, too, have scales for their columns; it makes them slower to decode.
    """

    states: int = 8
    dct: bool = True
    scales: bool = True
    dead_zone: bool = True
    pairs: bool = False
    shared: bool = True
    columns: bool = False

    def __post_init__(self) -> None:
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")


_KINDS = ("bits", "size", "ratio", "snr", "kl", "drop")

QUALITIES: Mapping[str, Tools] = {
    "fast": Tools(states=1, pairs=True),
    "default": Tools(states=8),
    "max": Tools(states=64, columns=True),
}
"""Levels of effort; the decoder's differs little."""


@final
@dataclass(frozen=True)
class Budget:
    """What a file may cost, or must be worth: exactly one of six.

    Args:
        bits: 8 · bytes of the file / weights: the elements of all floating-point tensors with two or more axes, of tied
            ones once, whatever becomes of them; but those of a module's buffers, and of masks: tensors of 0 and −inf.
        size: bytes of the file.
        ratio: bytes of the uncompressed file over bytes of this one.
        snr: 10 log₁₀ Σ w² / Σ (w − ŵ)² over the same weights, in dB; without outliers: a few weights
            that hold more than half of their tensor's Σ w².
        kl: KL(original ‖ compressed) of the softmax on calibration samples that are held out, in nats a row of logits,
            at most; for effort "calibrate", as is ``drop``; for effort "train" on the task's validation split.
        drop: points by which the task's error on its validation split may grow, in percent for classification, with
            one standard error of the paired difference on top.
        asked: whether somebody named it. Where nobody did, and what stays as it is leaves no room, bits are those of
            the weights that are quantized, beside the rest of the file; and where that is no room either, for tables
            and names take more than a few weights, there is twice as much, and so on.
        around: bytes around the file that count as its own (`laconic.format.enclosed`).

    Raises:
        PlanError: when not exactly one is given, or it is out of range.
    """

    unnamed: InitVar[object] = None  # whatever comes without a name: it is refused
    _: KW_ONLY
    bits: float | None = None
    size: int | None = None
    ratio: float | None = None
    snr: float | None = None
    kl: float | None = None
    drop: float | None = None
    asked: bool = True
    around: int = 0

    def __post_init__(self, unnamed: object) -> None:
        if unnamed is not None:
            kinds = ", ".join(f"Budget({name}={unnamed!r})" for name in _KINDS)
            raise PlanError(f"a budget says what it is of: one of {kinds}, not Budget({unnamed!r})")
        given = {name: value for name in _KINDS if (value := getattr(self, name)) is not None}
        require_types(Budget, (), given)
        if len(given) != 1:
            kinds = f"{', '.join(_KINDS[:-1])} and {_KINDS[-1]}"
            raise PlanError(f"a budget is one of {kinds}; given are {', '.join(given) or 'none'}")
        ((name, value),) = given.items()
        if not 0 < value < math.inf:
            raise PlanError(f"{name} is above 0 and finite, not {value}")

    def __str__(self) -> str:
        """Return what was asked, with its unit."""
        if self.bits is not None:
            return f"{self.bits:g} bits per weight"
        if self.size is not None:
            return f"{self.size:,} bytes"
        if self.kl is not None:
            return f"a KL of {self.kl:g} nats"
        if self.drop is not None:
            return f"a drop of {self.drop:g} points"
        return f"ratio {self.ratio:g}" if self.ratio is not None else f"{self.snr:g} dB"

    @property
    def is_of_outputs(self) -> bool:
        """Whether it is met by what the network says: it has to run."""
        return self.kl is not None or self.drop is not None

    def require_of_weights(self) -> None:
        """Check that weights alone can meet it.

        Raises:
            PlanError: for one of outputs.
        """
        if self.is_of_outputs:
            raise PlanError(
                f"{self} needs effort 'calibrate' or 'train', which run the network; weights alone do not tell"
            )

    def bytes(self, elements: int, reference: int | None) -> int | None:
        """Return the bytes that the file may have, without those around it, or None where something else is asked.

        Args:
            elements: number of weights.
            reference: bytes of the uncompressed file; a ratio needs it.
        """
        whole = self.size
        if self.bits is not None:
            whole = math.floor(self.bits * elements / 8)
        if self.ratio is not None:
            if reference is None:
                raise PlanError("a ratio needs the size of the uncompressed file")
            whole = math.floor(reference / self.ratio)
        return None if whole is None else max(0, whole - self.around)


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """A network within its budget.

    Args:
        codes: of all tensors, in their order.
        budget: what was asked.
        file_bytes: what the file takes.
        snr: of the weights, in dB; infinite where nothing is lost.
        step: the width of a level.
        passes: over the weights, beside trials on the sample; of a network that is no larger, these are on all of it.
            Where steps had to be made finer after all, those since.
        lossless: the names of the weights that were kept as they are.
        weights: how many weights the network has, which bits are counted for.
        signals: what is left of each tensor that is not kept as it is.
    """

    codes: Mapping[str, Code]
    budget: Budget
    file_bytes: int
    snr: float
    step: float
    passes: int
    lossless: tuple[str, ...] = ()
    weights: int = 0
    signals: Mapping[str, Signal] = field(default_factory=dict)

    @property
    def bits_per_weight(self) -> float | None:
        """8 · bytes of the file / weights; None where there are none."""
        return 8 * self.file_bytes / self.weights if self.weights else None

    def short(self, reference: int | None) -> str:
        """Return what there is to say of a size that is not met within `NEAR`; nothing where it is, or nothing is lost.

        Args:
            reference: bytes of the uncompressed file; a ratio needs it.
        """
        size = self.budget.bytes(self.weights, reference)
        if size is None or not self.budget.asked or self.file_bytes >= (1 - NEAR) * size or self.snr == math.inf:
            return ""
        return f"{size - self.file_bytes:,} bytes below the {size:,} asked for: no file that was tried lies between"
