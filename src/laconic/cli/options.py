"""Options that several commands share, each declared once."""

import re
from pathlib import Path
from typing import Annotated

import typer

from laconic.errors import DataError, PlanError
from laconic.files import require_absent

_FORMATS = (".lac", ".safetensors", ".pt", ".pth")


def require_output(path: Path, suffix: str, *, force: bool) -> None:
    """Check the name of the output before the work, not after.

    Raises:
        OutputExists: when it exists and ``force`` is not set.
        DataError: when it has the suffix of a format other than what is written, which no reader would take.
    """
    if path.suffix in _FORMATS and path.suffix != suffix:
        raise DataError(f"{path}: what is written is a {suffix} file; give it that suffix")
    require_absent(path, force=force)


def name_of(option: str) -> str:
    """Return an option as it is typed.

    >>> name_of("lr_decay")
    '--lr-decay'
    """
    return "--" + option.replace("_", "-")


_UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def size_in_bytes(text: str) -> int:
    """Return a size such as 100KB (1,000 B each), 1.5MiB (2²⁰ B each) or 40000 in bytes.

    >>> size_in_bytes("100KB"), size_in_bytes("1.5 MiB")
    (100000, 1572864)

    Raises:
        PlanError: for anything else.
    """
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?|\.\d+)\s*([kmg]?i?b)?\s*", text, re.IGNORECASE)
    unit = _UNITS.get((found[2] or "").upper()) if found else None
    if found is None or unit is None:
        raise PlanError(f"{text!r} is no size; say bytes, or a number and one of B, KB, MB, GB, KiB, MiB, GiB")
    return int(float(found[1]) * unit)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and JSON, if asked).")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output file that exists.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random: the same seed gives the same file.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of torch; results are the same for the same number. Default: its choice."),
]
Net = Annotated[
    str | None,
    typer.Option(help="A reference network: lenet300, lenet300-tanh, lenet5, resnet20 ... resnet110."),
]
Data = Annotated[
    str | None,
    typer.Option(help="A data set: digits (built in), mnist, fashion-mnist, cifar10, or a folder of IDX files."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="LACONIC_DATA", help="The folder that holds the data set, or its own folder by name."),
]
TaskFactory = Annotated[
    str | None,
    typer.Option(
        "--task", help="A network of your own: package.module:factory, a callable that returns a laconic.Task."
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Samples per training batch.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")]
