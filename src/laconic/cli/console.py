"""What a command says: results on standard output, everything else on standard error."""

import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from laconic import interrupts

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


def _console(*, stderr: bool) -> Console:
    """Return a console that prints names as they are: brackets and colons in them are no markup and no emoji."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


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
    """How a command talks.

    Args:
        json: print one JSON object on standard output and nothing else there.
        quiet: no progress, no tables, no notes.
    """

    json: bool
    quiet: bool

    def __post_init__(self) -> None:
        """Show what the library logs, that it compiles for some seconds, where a person looks on."""
        logger = logging.getLogger("laconic")
        for handler in [handler for handler in logger.handlers if isinstance(handler, _Shown)]:
            logger.removeHandler(handler)
        if not self.quiet and sys.stderr.isatty():
            logger.setLevel(logging.INFO)
            logger.addHandler(_Shown())

    def result(self, record: Mapping[str, Any], *shown: Table | str) -> None:
        """Print a result: the record as JSON, or the tables and lines for a person."""
        if self.json:
            sys.stdout.write(json.dumps(plain(record), indent=2, allow_nan=False) + "\n")
        elif not self.quiet:
            for item in shown:
                _console(stderr=False).print(item)

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
        console = Console(stderr=True)
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
