"""A compression by the name that plans and people call it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from laconic.csteps.compression import Compression
from laconic.theory.metric import Diagonal, Metric, Unit


@final
@dataclass(frozen=True)
class Option:
    """A parameter of a technique.

    Args:
        kind: `int`, `float` (integers are taken too), `str`, `bool`, `list` (of numbers), or `Compression` for a table
            of its own, or `tuple` for a list of such tables.
        unit: what it counts or says, in a few words.
    """

    kind: type
    unit: str


@final
@dataclass(frozen=True)
class Technique:
    """What a row of a plan can ask for.

    Args:
        key: names it in TOML; its value there is the parameter of the same name, or ``true``.
        line: what it does, in one line.
        compression: the class that does it.
        build: (options as they stand in TOML, tables made compressions) → the compression.
        options: its parameters by name, that of the key first.
        example: a row of a plan.
        exact: whether no feasible point is better (but for the rounding to the tensor's dtype).
        metrics: the metrics that it honours; others it refuses.
        approximate: those of them for which it is not exact, where it is for others.
        say: inverts ``build`` where options are not the fields of the compression by name: a compression of the class
            → options, or None where this technique does not build it.
    """

    key: str
    line: str
    compression: type[Compression]
    build: Callable[[dict[str, Any]], Compression]
    options: Mapping[str, Option]
    example: Mapping[str, Any]
    exact: bool = True
    metrics: tuple[type[Metric], ...] = field(default=(Unit, Diagonal))
    approximate: tuple[type[Metric], ...] = ()
    say: Callable[[Any], dict[str, Any] | None] | None = None
