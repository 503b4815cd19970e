"""The noun of the house: a compressed tensor as a frozen value."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from laconic.errors import FormatError
from laconic.format.codes.streams import Symbols, Values


class Code(ABC):
    """A compressed tensor Θ: what is stored of it, and how it is decompressed into Δ(Θ). It never knows who made it.

    Laws, asserted over every case of the test suite:

    * ``from_streams(shape, dtype, facts(), streams())`` is a code that decompresses to the same bits;
    * ``decompress()`` has shape ``shape`` and dtype ``dtype``, and is the same bits on every machine.

    Attributes:
        shape: shape of the tensor it stands for.
        dtype: its element type, a name of `DTYPES`.
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements of the tensor it stands for."""
        return math.prod(self.shape)

    @abstractmethod
    def decompress(self) -> np.ndarray:
        """Return exactly the weights that the file stands for, of shape `shape` and type `dtype`."""

    @abstractmethod
    def streams(self) -> "Mapping[str, Part]":
        """Return what is stored, by name, in the order of the file. A part may be a code itself: codes nest."""

    @abstractmethod
    def facts(self) -> tuple[int, ...]:
        """Return the small non-negative integers stored beside shape and dtype in the table of the file."""

    def runs(self) -> Mapping[str, tuple[int, ...]]:
        """Return of some streams, by name, how many neighbours may be alike, as those of a row: the encoder tries each.

        No reader needs to know them.
        """
        return {}

    @classmethod
    def parts(cls, facts: tuple[int, ...]) -> "Mapping[str, type[Part]]":
        """Return what `streams` holds of a code with these facts, name and class, in the order of the file.

        Raises:
            FormatError: when no code has these facts.
        """
        return _declared(cls)

    @classmethod
    @abstractmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: "Mapping[str, Part]"
    ) -> "Code":
        """Invert `streams` and `facts`.

        Raises:
            FormatError: when the parts do not make a code of this shape and dtype.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise `FormatError` unless `decompress` will succeed: what `from_streams` leaves to be found later."""

    @abstractmethod
    def labels(self) -> np.ndarray | None:
        """Return the discrete choice made for each weight, shape (size,), or None where there is no such choice.

        Zero stands for a pruned weight. The LC algorithm reports how many of these change from step to step.
        """


Part = Symbols | Values | Code
Kind = TypeVar("Kind", Symbols, Values, Code)


@cache
def _declared(kind: type[Code]) -> Mapping[str, type[Part]]:
    """Return the fields of a code that are streams or codes, by name."""
    assert is_dataclass(kind)
    return {f.name: f.type for f in fields(kind) if isinstance(f.type, type) and f.type in (Symbols, Values, Code)}


def part(streams: Mapping[str, Part], name: str, kind: type[Kind]) -> Kind:
    """Return the part called ``name``, which must be a ``kind``; raise `FormatError` when it is not."""
    stream = streams.get(name)
    if not isinstance(stream, kind):
        raise FormatError(f"{name} should be {kind.__name__}, is {type(stream).__name__}")
    return stream


def require(condition: bool, message: str) -> None:
    """Raise `FormatError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise FormatError(message)
