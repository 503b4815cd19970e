"""Ranks: threads of one process, each with things of its own, or processes that run a command as torchrun does."""

import json
import socket
import threading
import traceback

import forked

from laconic.machines.wires import Traffic, Wires

COMMAND = """
import json, os, signal, sys
environment, dies, *arguments = sys.argv[1:]
os.environ.update(json.loads(environment))
if int(dies):
    import laconic.training.loop
    import laconic.training.trainer
    plain, epochs = laconic.training.loop.train_epoch, 0
    def mortal(*given, **options):
        global epochs
        epochs += 1
        if epochs == int(dies):
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*given, **options)
    laconic.training.loop.train_epoch = laconic.training.trainer.train_epoch = mortal
from laconic.cli import run
sys.exit(run(arguments))
"""


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


def commands(folder, arguments, dies=0):
    """The command in two processes, as torchrun starts them; the second is killed as an epoch begins."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        forked.Forked.start(
            COMMAND, [json.dumps({**common, "RANK": str(rank)}), dies * rank, *arguments], folder / str(rank)
        )
        for rank in range(2)
    ]
    return [one.wait() for one in started]
