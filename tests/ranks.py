"""Ranks that are threads of one process: they start at once, and each works on things of its own."""

import threading
import traceback

from laconic.machines.wires import Traffic, Wires


class Threads(Wires):
    """The wires of one of them."""

    def __init__(self, rank, barrier, box):
        self.rank, self.barrier, self.box, self.traffic = rank, barrier, box, Traffic()

    @property
    def count(self):
        return self.barrier.parties

    @property
    def own(self):
        return range(self.rank, self.rank + 1)

    def gather(self, messages):
        (self.box[self.rank],) = messages
        self.barrier.wait(60)
        got = [self.box[rank] for rank in range(self.count)]
        self.barrier.wait(60)
        return got

    def collect(self, messages):
        got = self.gather(messages)
        return got if self.rank == 0 else None

    def spread(self, message):
        return self.gather([message])[0]


def on_ranks(count, work):
    """Return what ``work`` of its wires comes to on each rank: a result, or an exception."""
    barrier, box, came = threading.Barrier(count), {}, [None] * count

    def run(rank):
        try:
            came[rank] = work(Threads(rank, barrier, box))
        except Exception as error:
            came[rank] = error
            if isinstance(error, AssertionError):
                traceback.print_exc()
                barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came
