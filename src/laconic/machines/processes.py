"""Workers in processes of their own, joined by a process group of `torch.distributed`: gloo on CPUs, nccl on GPUs.

A worker that is gone, or that does not answer within the timeout of the group, is an error on all others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor

from laconic.errors import WorkersError
from laconic.machines.wires import HEAD, Traffic, Wires


@final
class Processes(Wires):
    """The workers of a process group.

    Args:
        group: the group; None for the default one, which must be there.
    """

    def __init__(self, group: Any = None) -> None:
        self._group, self.traffic = group, Traffic()
        self._count, self._rank = dist.get_world_size(group), dist.get_rank(group)
        on_gpu = dist.get_backend(group) == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    @property
    def count(self) -> int:
        """Workers in all."""
        return self._count

    @property
    def own(self) -> range:
        """The one of this process."""
        return range(self._rank, self._rank + 1)

    def gather(self, messages: Sequence[bytes]) -> list[bytes]:
        """Return the messages of all: sizes first, then all at the length of the longest."""
        (message,) = messages
        with _answered():
            sizes = [int(size) for size in self._all(torch.tensor([len(message)]))]
            padded = bytearray(message + bytes(max(sizes) - len(message)))
            rows = self._all(torch.frombuffer(padded, dtype=torch.uint8))
        longest = HEAD + max(sizes)
        self.traffic = self.traffic.plus(longest, (self._count - 1) * longest)
        return [_bytes(row)[:size] for row, size in zip(rows, sizes, strict=True)]

    def collect(self, messages: Sequence[bytes]) -> list[bytes] | None:
        """Return the messages of all in worker 0: each sends its size, and then itself."""
        (message,) = messages
        self.traffic = self.traffic.plus(HEAD + len(message), 0)
        with _answered():
            if self._rank == 0:
                return [message, *(self._received(rank) for rank in range(1, self._count))]
            self._send(torch.tensor([len(message)]))
            self._send(torch.frombuffer(bytearray(message), dtype=torch.uint8))
        return None

    def spread(self, message: bytes | None) -> bytes:
        """Return worker 0's message on all."""
        with _answered():
            count = int(self._broadcast(torch.tensor([len(message or b"")])))
            got = _bytes(self._broadcast(torch.frombuffer(bytearray(message or bytes(count)), dtype=torch.uint8)))
        self.traffic = self.traffic.plus(0, HEAD + count)
        return got

    def _all(self, own: Tensor) -> list[Tensor]:
        """Return the same of every worker."""
        moved = own.to(self._device)
        everyone = [torch.empty_like(moved) for _ in range(self._count)]
        dist.all_gather(everyone, moved, group=self._group)
        return everyone

    def _broadcast(self, tensor: Tensor) -> Tensor:
        moved = tensor.to(self._device)
        dist.broadcast(moved, self._global(0), group=self._group)
        return moved

    def _send(self, tensor: Tensor) -> None:
        dist.send(tensor.to(self._device), self._global(0), group=self._group)

    def _received(self, rank: int) -> bytes:
        size = torch.empty(1, dtype=torch.int64, device=self._device)
        dist.recv(size, self._global(rank), group=self._group)
        data = torch.empty(int(size), dtype=torch.uint8, device=self._device)
        dist.recv(data, self._global(rank), group=self._group)
        return _bytes(data)

    def _global(self, rank: int) -> int:
        """Return the rank among all processes of a rank of the group."""
        return rank if self._group is None else dist.get_global_rank(self._group, rank)


def _bytes(row: Tensor) -> bytes:
    """Return a tensor of bytes as bytes."""
    data: bytes = row.cpu().numpy().tobytes()
    return data


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what torch raises for a worker that is gone into a sentence."""
    try:
        yield
    except RuntimeError as error:
        raise WorkersError(f"a worker is gone, or has not answered in time: {str(error).splitlines()[0]}") from error


@contextmanager
def joined(join: Callable[[], None]) -> Iterator[Processes]:
    """Give the workers of a process group that ``join`` initializes, and leave it afterwards.

    Raises:
        WorkersError: when the others do not come within the timeout.
    """
    try:
        with _answered():
            join()
        yield Processes()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
