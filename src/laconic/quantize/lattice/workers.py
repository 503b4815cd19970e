"""Tensors side by side on several cores and ranks, with the results that one core would give, in the same order."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Condition
from typing import Generic, Protocol, TypeVar, final

from laconic import interrupts

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ranks(Protocol):
    """Processes of which each has some of the tensors (`laconic.machines.sharing.Sharing`)."""

    def is_own(self, name: str) -> bool:
        """Say whether a tensor is of this process."""

    def results(self, names: Sequence[str], work: Callable[[Sequence[str]], Iterable[bytes]]) -> list[bytes]:
        """Return what ``work`` makes of all tensors, where each process calls it with the names of its own."""


@final
@dataclass(frozen=True)
class Travel(Generic[Item, Result]):
    """How results get from one rank to the others.

    Args:
        names: of the tensor that each item is of.
        pack: a result as bytes.
        unpack: of an item and these bytes what stands for the result on other ranks.
    """

    names: Sequence[str]
    pack: Callable[[Result], bytes]
    unpack: Callable[[Item, bytes], Result]


@final
@dataclass(frozen=True)
class Workers:
    """So many threads. What they call is compiled or NumPy, which lets other threads run meanwhile.

    Args:
        threads: at least 1; with 1 nothing is started, and results are made when they are asked for.
        ranks: of which this process is one; None where it has all tensors.
    """

    threads: int = 1
    ranks: Ranks | None = None

    @classmethod
    def of(cls, threads: int | None) -> "Workers":
        """Return so many, or one for each core that the process may use.

        >>> Workers.of(3).threads
        3
        """
        if threads is None:
            threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(threads)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int], together: float = 2,
        travel: Travel[Item, Result] | None = None,
    ) -> Iterator[Result]:  # fmt: skip
        """Give ``function`` of each item, in the order of the items; the largest are begun first.

        Args:
            function: of one item; must not call `map` of several threads itself.
            items: what it is called with.
            sizes: how long each takes, and how much memory, in any unit.
            together: so many times the largest size are the most that is worked on at a time: on many cores, too,
                memory is that of the largest items.
            travel: how results get about, where each rank does the items of its own tensors; without it, all do all.

        >>> list(Workers(2).map(abs, [-3, 2, -1], [1, 1, 5]))
        [3, 2, 1]
        """
        if self.ranks is not None and travel is not None:
            yield from self._shared(function, items, sizes, together, self.ranks, travel)
            return
        ended, busy, most = Condition(), 0, together * max(sizes, default=0)

        def called(item: Item) -> Result:
            interrupts.check()
            return function(item)

        def admitted(place: int) -> Result:
            nonlocal busy
            with ended:
                ended.wait_for(lambda: busy + sizes[place] <= most)
                busy += sizes[place]
            try:
                return called(items[place])
            finally:
                with ended:
                    busy -= sizes[place]
                    ended.notify_all()

        if self.threads == 1 or len(items) < 2:
            yield from map(called, items)
            return
        order = sorted(range(len(items)), key=lambda place: -sizes[place])
        with ThreadPoolExecutor(min(self.threads, len(items))) as pool:
            promised = {place: pool.submit(admitted, place) for place in order}
            try:
                for place in range(len(items)):
                    yield promised.pop(place).result()
            finally:
                for promise in promised.values():
                    promise.cancel()

    def _shared(
        self, function: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int], together: float,
        ranks: Ranks, travel: Travel[Item, Result],
    ) -> Iterator[Result]:  # fmt: skip
        """Give the same where each rank does its own items: those as they are, the others as they arrive."""
        places, done = {name: place for place, name in enumerate(travel.names)}, dict[int, Result]()

        def work(mine: Sequence[str]) -> Iterator[bytes]:
            own = [places[name] for name in mine]
            alone = replace(self, ranks=None)
            found = alone.map(function, [items[at] for at in own], [sizes[at] for at in own], together)
            for place, result in zip(own, found, strict=True):
                done[place] = result
                yield travel.pack(result)

        for place, data in enumerate(ranks.results(travel.names, work)):
            yield done.pop(place) if place in done else travel.unpack(items[place], data)
