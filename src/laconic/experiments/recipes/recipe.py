"""The nouns of this room: a published experiment, what it runs in, and what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from matplotlib.figure import Figure

from laconic.experiments.recipes.cache import Cache

Say = Callable[[float, str], None]
"""(share done, what is going on)."""


@final
@dataclass(frozen=True)
class Context:
    """What a recipe is run with.

    Args:
        cache: what is finished, from an earlier run too.
        data_dir: the caller's data folder.
        seed: of everything random.
        fast: fewer points.
        train: train networks even where that takes hours.
        say: told of the progress.
    """

    cache: Cache
    data_dir: Path | None = None
    seed: int = 0
    fast: bool = False
    train: bool = False
    say: Say = field(default_factory=lambda: _silent)

    def part(self, start: float, stop: float) -> "Context":
        """Return the context of a part of the work, whose 0 to 1 is ``start`` to ``stop`` of the whole."""
        return replace(self, say=lambda done, text: self.say(start + (stop - start) * done, text))


def _silent(done: float, text: str) -> None:
    """Say nothing."""


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What comes of a recipe.

    Args:
        record: as JSON says it; but for seconds a function of recipe, data and options alone, interrupted or not.
        page: in Markdown, for people.
        figures: by file name; the page shows them.
    """

    record: Mapping[str, Any]
    page: str
    figures: Mapping[str, Figure]


@final
@dataclass(frozen=True)
class Recipe:
    """A published experiment that can be run again.

    Args:
        name: on the command line.
        summary: what it reproduces, in a line.
        source: the publication.
        needs: data, in a few words.
        time: how long it takes, in a few words.
        run: does it, through `Context.cache`, so that an interrupt costs one point at most.
    """

    name: str
    summary: str
    source: str
    needs: str
    time: str
    run: Callable[[Context], Outcome]
