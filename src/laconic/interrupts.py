"""Ctrl-C and SIGTERM: asked for once, and not forgotten, wherever they arrive.

Python raises an interrupt between any two instructions, also those of a callback or of `__del__`, where it is printed
and dropped. The command line therefore has a handler that raises and leaves a mark as well, at which long work looks
between batches, passes and tensors. A program that imports laconic keeps its own handlers: there is never a mark, and
a look costs nothing.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)

received: int | None = None
"""The number of the signal that has asked the command to end, if one has."""


class Stop(KeyboardInterrupt):
    """A signal has asked the command to end."""


def check() -> None:
    """Raise again what has been asked for: a callback may have swallowed it.

    Raises:
        Stop: where a signal has come.
    """
    if received is not None:
        raise Stop


def taken() -> int | None:
    """Return the number of the signal that has come, and forget it."""
    global received
    number, received = received, None
    return number


def listen() -> None:
    """Let signals end the process at once, with one line: while it still imports there is nothing to put in order."""
    for number in _ours():
        signal.signal(number, _leave)


@contextmanager
def raising() -> Iterator[None]:
    """Let signals raise `Stop` and leave a mark while the block runs; afterwards they are what they were.

    A process that has begun with `listen` has no more to do then, and ignores them: it is about to end.
    """
    global received
    received = None
    before = {number: signal.getsignal(number) for number in _ours()}
    hook = sys.unraisablehook
    sys.unraisablehook = lambda dropped: None if dropped.exc_type is Stop else hook(dropped)
    try:
        for number in before:
            signal.signal(number, _stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if handler is _leave else handler)
        sys.unraisablehook = hook


def finish() -> None:
    """Ignore signals from here to the end of `raising`: what they would interrupt is done.

    Raises:
        Stop: where a signal has come before.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_IGN)
    check()


def leave(code: int) -> NoReturn:
    """End the process now: torch and Numba take seconds to free what they hold, module by module."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _ours() -> list[signal.Signals]:
    """Return the signals that may be handled: none in a thread, and not what the process was started to ignore.

    A shell without job control starts a command in the background with SIGINT ignored.
    """
    try:
        return [number for number in SIGNALS if _settable(number)]
    except ValueError:  # not the main thread
        return []


def _settable(number: signal.Signals) -> bool:
    """Tell whether a signal has a handler of Python's; setting it to itself fails in any thread but the main one."""
    handler: Any = signal.getsignal(number)
    if handler in (signal.SIG_IGN, None):
        return False
    signal.signal(number, handler)
    return True


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    global received
    received = number
    raise Stop


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)
