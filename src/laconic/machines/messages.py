"""What goes from worker to worker in a step: the tensors of one, or why there are none."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.errors import WorkersError
from laconic.format.coding.varints import Cursor, varint

_FINE, _FAILED = 0, 1
_HEAD = struct.Struct("<dI")


@final
@dataclass(frozen=True, eq=False)
class Message:
    """The tensors of one worker in a step.

    Args:
        parts: bytes of a codec by name; a tensor that the worker's loss does not reach is missing.
        loss: of its samples.
        mark: what must be the same on all workers.
    """

    parts: Mapping[str, bytes | memoryview]
    loss: float
    mark: int = 0

    def packed(self, names: Sequence[str]) -> bytes:
        """Return it as bytes, tensors in the order of ``names``.

        >>> Message.read(Message({"a": b"12"}, 0.5).packed("ab"), "ab").parts
        {'a': b'12'}
        """
        pieces: list[bytes | memoryview] = [bytes([_FINE]), _HEAD.pack(self.loss, self.mark)]
        for name in names:
            part = self.parts.get(name)
            pieces += [varint(0)] if part is None else [varint(1 + len(part)), part]
        return b"".join(pieces)

    @classmethod
    def read(cls, data: bytes, names: Sequence[str], sender: str = "a worker") -> "Message":
        """Return what `packed`, or `failed`, has written.

        Raises:
            WorkersError: with the text of `failed`.
            FormatError: for other bytes.
        """
        cursor = Cursor(data)
        if cursor.unsigned(1) == _FAILED:
            raise WorkersError(f"{sender}: {bytes(cursor.rest()).decode(errors='replace')}")
        loss, mark = _HEAD.unpack(bytes(cursor.take(_HEAD.size)))
        parts = {}
        for name in names:
            if length := cursor.varint():
                parts[name] = cursor.take(length - 1)
        if cursor.left:
            raise cursor.fail(f"{cursor.left} bytes too many")
        return cls(parts, loss, mark)


def failed(text: str) -> bytes:
    """Return the message of a worker that has no gradients, and why."""
    return bytes([_FAILED]) + text.encode()
