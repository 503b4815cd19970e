"""How messages get from worker to worker: what an exchange needs of a transport, and the one within one process.

Bytes are counted as they go over a wire: a gathering pads all messages to the longest, for that is what an all-gather
of one tensor a worker moves, and its size goes before it in eight bytes. A server is counted as if it were a machine of
its own, though it is worker 0's process.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

HEAD = 8
"""Bytes of the length that goes before a message."""


@final
@dataclass(frozen=True)
class Traffic:
    """Bytes that the workers of this process have moved since the start.

    Args:
        pushed: what they have given away.
        pulled: what they have got.
    """

    pushed: int = 0
    pulled: int = 0

    def plus(self, pushed: int, pulled: int) -> "Traffic":
        """Return the sum with further bytes."""
        return Traffic(self.pushed + pushed, self.pulled + pulled)

    def since(self, before: "Traffic") -> tuple[int, int]:
        """Return the bytes pushed and pulled since then."""
        return self.pushed - before.pushed, self.pulled - before.pulled


class Wires(ABC):
    """A transport between ``count`` workers, of which ``own`` are in this process.

    Every worker calls the same methods in the same order. A message has one byte or more.
    """

    traffic: Traffic

    @property
    @abstractmethod
    def count(self) -> int:
        """Workers in all."""

    @property
    @abstractmethod
    def own(self) -> range:
        """The numbers of those in this process."""

    @abstractmethod
    def gather(self, messages: Sequence[bytes]) -> list[bytes]:
        """Return the messages of all workers, in their order, on all.

        Args:
            messages: of ``own``, one each.

        Raises:
            WorkersError: when a worker is gone or does not answer in time.
        """

    @abstractmethod
    def collect(self, messages: Sequence[bytes]) -> list[bytes] | None:
        """Return the messages of all workers in the process of worker 0, and None in the others; as `gather`."""

    @abstractmethod
    def spread(self, message: bytes | None) -> bytes:
        """Return on all workers what the process of worker 0 gives; the others give None. Errors as `gather`."""


@final
class InOneProcess(Wires):
    """All workers in this process: the same bytes as over wires, without the wires."""

    def __init__(self, count: int) -> None:
        self._count, self.traffic = count, Traffic()

    @property
    def count(self) -> int:
        """Workers in all."""
        return self._count

    @property
    def own(self) -> range:
        """All of them."""
        return range(self._count)

    def gather(self, messages: Sequence[bytes]) -> list[bytes]:
        """Return the messages."""
        longest = HEAD + max(map(len, messages))
        self.traffic = self.traffic.plus(self._count * longest, self._count * (self._count - 1) * longest)
        return list(messages)

    def collect(self, messages: Sequence[bytes]) -> list[bytes] | None:
        """Return the messages."""
        self.traffic = self.traffic.plus(sum(HEAD + len(message) for message in messages), 0)
        return list(messages)

    def spread(self, message: bytes | None) -> bytes:
        """Return the message."""
        assert message is not None, "worker 0 is in this process"
        self.traffic = self.traffic.plus(0, self._count * (HEAD + len(message)))
        return message
