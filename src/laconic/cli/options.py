"""Options that several commands share, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.errors import DataError
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
