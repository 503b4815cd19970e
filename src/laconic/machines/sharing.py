"""Work shared out over ranks: each does the items that are its own, and all have all results.

    owners = argmin max_r Σ_{i of rank r} cost_i

Method: the costliest item first, each to the rank that has least to do so far, the lowest of these: within 4/3 of the
best, O(n log n + n ranks), the same on every rank. Nothing here knows what the work is: an item is a name, a result is
bytes. What goes wrong on one rank travels with the results, so that it is an error on all and nobody waits.

Source: Graham, "Bounds on multiprocessing timing anomalies" (SIAM J. Appl. Math. 17, 1969), theorem 2.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.errors import WorkersError
from laconic.machines.messages import Message, failed
from laconic.machines.wires import Wires

Work = Callable[[Sequence[str]], Iterable[bytes]]
"""Items, in order → the result of each."""

_HERE, _NOT_HERE = b"\1", b"\0"


def owners_of(costs: Mapping[str, float], ranks: int) -> dict[str, int]:
    """Return the rank of each item.

    >>> owners_of({"a": 3, "b": 2, "c": 2, "d": 1}, 2)
    {'a': 0, 'b': 1, 'c': 1, 'd': 0}
    """
    busy, owners = [0.0] * ranks, dict[str, int]()
    for name in sorted(costs, key=lambda name: -costs[name]):
        owners[name] = busy.index(min(busy))
        busy[owners[name]] += costs[name]
    return {name: owners[name] for name in costs}


@final
@dataclass(frozen=True, eq=False)
class Sharing:
    """Items that are shared out among the ranks that some wires connect.

    Args:
        wires: between the ranks; each calls the same methods in the same order.
        owners: the rank of each item, by name.
    """

    wires: Wires
    owners: Mapping[str, int]

    @classmethod
    def of(cls, costs: Mapping[str, float], wires: Wires) -> "Sharing":
        """Return items shared out by what each costs, in any unit."""
        return cls(wires, owners_of(costs, wires.count))

    @property
    def leads(self) -> bool:
        """Whether rank 0 is in this process: who prints and writes."""
        return 0 in self.wires.own

    def is_own(self, name: str) -> bool:
        """Say whether an item is of this process."""
        return self.owners[name] in self.wires.own

    def require_same(self, text: str) -> None:
        """Check that all ranks have been asked for the same: that they have the same text.

        Raises:
            WorkersError: names the ranks that have another one than rank 0.
        """
        first, *others = self.wires.gather([hashlib.sha256(text.encode()).digest()] * len(self.wires.own))
        if strange := [str(rank) for rank, other in enumerate(others, 1) if other != first]:
            raise WorkersError(
                f"rank {', '.join(strange)} and rank 0 are asked for different things: all must have the same file, "
                "options and versions"
            )

    def results(self, names: Sequence[str], work: Work) -> list[bytes]:
        """Return the results of all items on all ranks, in the order of ``names``.

        Args:
            names: of items; the same on all ranks.
            work: is called once for each rank of this process, with those of its items.

        Raises:
            WorkersError: on all ranks, when the work of one has failed; when one is gone.
        """
        messages, raised = list[bytes](), None
        for rank in self.wires.own:
            mine = [name for name in names if self.owners[name] == rank]
            try:
                parts = dict(zip(mine, work(mine), strict=True))
                messages.append(Message(parts, 0.0).packed(mine))
            except Exception as error:
                raised = error
                messages.append(failed(str(error)))
        found = dict[str, bytes]()
        for rank, message in enumerate(self.wires.gather(messages)):
            theirs = [name for name in names if self.owners[name] == rank]
            try:
                found |= {name: bytes(part) for name, part in Message.read(message, theirs).parts.items()}
            except WorkersError as error:
                raise WorkersError(f"rank {rank}: {str(error).removeprefix('a worker: ')}") from raised
        return [found[name] for name in names]

    def brought(self, names: Iterable[str], own: Callable[[str], bytes]) -> Iterator[tuple[str, bytes]]:
        """Give items one after the other where rank 0 is; the others go through it as well, and get nothing.

        Args:
            names: of the items, the same on all ranks.
            own: gives an item of this process.

        Raises:
            WorkersError: when a rank is gone.
        """
        for name in names:
            owner = self.owners[name]
            got = self.wires.collect([_HERE + own(name) if rank == owner else _NOT_HERE for rank in self.wires.own])
            if got is not None:
                yield name, got[owner][len(_HERE) :]


def shared_out(costs: Mapping[str, float], work: Work, wires: Wires) -> dict[str, bytes]:
    """Return the results of items that ranks share out by their costs, on all ranks; see `Sharing.results`.

    >>> from laconic.machines.wires import InOneProcess
    >>> shared_out({"a": 3, "b": 1}, lambda names: [name.upper().encode() for name in names], InOneProcess(2))
    {'a': b'A', 'b': b'B'}
    """
    sharing = Sharing.of(costs, wires)
    return dict(zip(costs, sharing.results(list(costs), work), strict=True))
