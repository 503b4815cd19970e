"""What a command says: results on standard output, everything else on standard error."""

import errno
import io
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Annotated, Any, ClassVar, Protocol, TextIO, cast, final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from laconic import interrupts
from laconic.cli import groups

EXIT_ERROR = 1


class Interrupted(Exception):
    """Ctrl-C or SIGTERM, with a sentence that says how to go on."""


@contextmanager
def interruptible(way: Callable[[], str]) -> Iterator[None]:
    """Let an interruption say the way to go on, whatever exception it has become where it arrived."""
    try:
        yield
    except BaseException as error:
        if not (interrupts.received or isinstance(error, KeyboardInterrupt)):
            raise
        raise Interrupted(way()) from None


def explain(message: str) -> None:
    """Print one line for a person to standard error, whatever line breaks the message has."""
    _console(stderr=True).print(" ".join(message.split()))


def forgive() -> None:
    """Let standard output and error say what their encoding lacks in escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def settle() -> None:
    """Write what waits to be written; what cannot be is dropped, that Python does not fail over it as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _lead_nowhere(stream)


def _lead_nowhere(stream: TextIO) -> None:
    """Let the null device take what a stream still holds and whatever else comes."""
    with suppress(OSError, ValueError):  # no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _deliver(text: str) -> None:
    """Write to standard output, now.

    Raises:
        OSError: when it cannot be written.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError):
        _lead_nowhere(sys.stdout)
        raise


@final
class _Unread:
    """Standard error: what cannot be written there nobody would read, and nothing fails for it."""

    def write(self, text: str) -> None:
        """Write, or drop."""
        self._attempt("write", text)

    def flush(self) -> None:
        """Write what waits, or drop it."""
        self._attempt("flush")

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    @staticmethod
    def _attempt(what: str, *arguments: str) -> None:
        if sys.stderr is not None:
            try:
                getattr(sys.stderr, what)(*arguments)
            except (OSError, ValueError):
                _lead_nowhere(sys.stderr)


def _console(*, stderr: bool) -> Console:
    """Return a console that prints names as they are: brackets and colons in them are no markup and no emoji."""
    file = cast(IO[str], _Unread()) if stderr else None
    return Console(file=file, soft_wrap=True, highlight=False, markup=False, emoji=False)


class _Shown(logging.Handler):
    """Prints what is logged, as a note."""

    def emit(self, record: logging.LogRecord) -> None:
        explain(record.getMessage())


class Tick(Protocol):
    """Advances a progress bar."""

    def __call__(self, done: float, text: str | None = None) -> None:
        """Say how much is done so far, and perhaps what is going on."""


@final
@dataclass(frozen=True)
class Output:
    """How a command talks: a group of options that every command has.

    Args:
        json: print one JSON object on standard output and nothing else there.
        quiet: no progress, no tables, no notes.
    """

    panel: ClassVar[str] = groups.RUN
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and JSON, if asked).")] = False

    def __post_init__(self) -> None:
        """Show what the library warns of, and that it compiles for some seconds where a person looks on."""
        logger = logging.getLogger("laconic")
        for handler in [handler for handler in logger.handlers if isinstance(handler, _Shown)]:
            logger.removeHandler(handler)
        watched = sys.stderr is not None and sys.stderr.isatty()
        logger.setLevel(logging.ERROR if self.quiet else logging.INFO if watched else logging.WARNING)
        if not self.quiet:
            logger.addHandler(_Shown())

    def result(self, record: Mapping[str, Any], *shown: Table | str) -> None:
        """Print a result: the record as JSON, or the tables and lines for a person.

        Raises:
            OSError: when standard output does not take it.
        """
        if self.json:
            _deliver(json.dumps(plain(record), indent=2, allow_nan=False) + "\n")
        elif not self.quiet:
            console = _console(stderr=False)
            with console.capture() as capture:
                for item in shown:
                    console.print(item)
            _deliver(capture.get())

    def report(self, record: Mapping[str, Any], *shown: Table | str) -> None:
        """Print what has been done: the file is in place, whether or not somebody reads this."""
        try:
            self.result(record, *shown)
        except BrokenPipeError:  # somebody has read enough
            pass
        except (OSError, ValueError) as error:
            self.note(f"the figures could not be shown: {error}")

    def note(self, *messages: str) -> None:
        """Print lines about what is going on to standard error."""
        for message in messages if not self.quiet else ():
            explain(message)

    @contextmanager
    def progress(self, text: str, total: float | None) -> Iterator[Tick]:
        """Show a bar with the time left, on a terminal, while the block runs."""
        text_column = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
        share, left = (Column(no_wrap=True, min_width=width) for width in (4, 7))  # on narrow terminals the text yields
        columns = (
            text_column, BarColumn(8), TaskProgressColumn(table_column=share), TimeRemainingColumn(table_column=left),
            TextColumn("left"),
        )  # fmt: skip
        console = Console(file=cast(IO[str], _Unread()))
        hidden = self.quiet or not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
            task = bar.add_task(text, total=total)

            def tick(done: float, text: str | None = None) -> None:
                bar.update(task, completed=done, description=text)

            yield tick


def table(title: str, columns: Mapping[str, str], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return a rich table; ``columns`` maps headings to "left" or "right"."""
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for heading, side in columns.items():
        drawn.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can say it: NaN and the infinities, which it cannot, become null.

    >>> plain({"loss": float("nan"), "steps": (1, 2.5)})
    {'loss': None, 'steps': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_bytes(count: float) -> str:
    """Return a number of bytes in B, KB (1,000 B) or MB.

    >>> in_bytes(35564), in_bytes(12)
    ('35.56 KB', '12 B')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"
