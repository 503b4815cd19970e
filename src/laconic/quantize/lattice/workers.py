"""Tensors side by side on several cores, with the results that one core would give, in the same order."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition
from typing import TypeVar, final

from laconic import interrupts

Item = TypeVar("Item")
Result = TypeVar("Result")


@final
@dataclass(frozen=True)
class Workers:
    """So many threads. What they call is compiled or NumPy, which lets other threads run meanwhile.

    Args:
        threads: at least 1; with 1 nothing is started, and results are made when they are asked for.
    """

    threads: int = 1

    @classmethod
    def of(cls, threads: int | None) -> "Workers":
        """Return so many, or one for each core that the process may use.

        >>> Workers.of(3)
        Workers(threads=3)
        """
        if threads is None:
            threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(threads)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int], together: float = 2
    ) -> Iterator[Result]:
        """Give ``function`` of each item, in the order of the items; the largest are begun first.

        Args:
            function: of one item; must not call `map` of several threads itself.
            items: what it is called with.
            sizes: how long each takes, and how much memory, in any unit.
            together: so many times the largest size are the most that is worked on at a time: on many cores, too,
                memory is that of the largest items.

        >>> list(Workers(2).map(abs, [-3, 2, -1], [1, 1, 5]))
        [3, 2, 1]
        """
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
